//! The decoder against frames encoded by `tungstenite`'s client side, cut at every place.

use proptest::prelude::*;
use tungstenite::protocol::frame::Frame as WireFrame;

use super::*;

fn masked(opcode: OpCode, last: bool, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        opcode,
        is_final: last,
        mask: Some([1, 2, 3, 4]),
        ..FrameHeader::default()
    };
    let mut out = Vec::new();
    WireFrame::from_payload(header, payload.to_vec().into())
        .format(&mut out)
        .unwrap();
    out
}

fn client(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    masked(opcode, true, payload)
}

fn feed_in_pieces(wire: &[u8], piece: usize) -> Result<Vec<Incoming>, Violation> {
    let mut decoder = Decoder::default();
    let mut found = Vec::new();
    for chunk in wire.to_vec().chunks_mut(piece) {
        decoder.feed(chunk, &mut found)?;
        if matches!(found.last(), Some(Incoming::Close(_))) {
            break;
        }
    }
    Ok(found)
}

const TEXT: OpCode = OpCode::Data(Data::Text);
const BINARY: OpCode = OpCode::Data(Data::Binary);
const CONTINUE: OpCode = OpCode::Data(Data::Continue);
const PING: OpCode = OpCode::Control(Control::Ping);
const PONG: OpCode = OpCode::Control(Control::Pong);
const CLOSE: OpCode = OpCode::Control(Control::Close);

#[test]
fn control_frames_come_through_between_ignored_messages() {
    let mut wire = client(TEXT, "é😀".repeat(300).as_bytes());
    wire.extend(masked(TEXT, false, &"é".as_bytes()[..1]));
    wire.extend(client(PING, b"are you there"));
    wire.extend(masked(CONTINUE, true, &"é".as_bytes()[1..]));
    wire.extend(client(BINARY, &vec![0xff; 70_000]));
    wire.extend(client(PONG, b""));
    wire.extend(client(CLOSE, &[0x03, 0xe8, b'b', b'y', b'e']));
    wire.extend(client(PING, b"too late"));
    let expected = [
        Incoming::Ping(b"are you there".to_vec()),
        Incoming::Pong(vec![]),
        Incoming::Close(vec![0x03, 0xe8, b'b', b'y', b'e']),
    ];
    for piece in [1, 2, 3, 7, 13, 14, 15, 1000, wire.len()] {
        assert_eq!(
            feed_in_pieces(&wire, piece).unwrap(),
            expected,
            "in pieces of {piece}"
        );
    }
}

#[test]
fn breaches_are_closed_with_their_codes() {
    let mut unmasked = WireFrame::ping(vec![]);
    unmasked.header_mut().mask = None;
    let mut plain = Vec::new();
    unmasked.format(&mut plain).unwrap();
    let mut nested = masked(TEXT, false, b"a");
    nested.extend(client(TEXT, b"b"));
    let mut huge = vec![0x82, 0xff];
    huge.extend((MAX_MESSAGE + 1).to_be_bytes());
    huge.extend([0; 4]);
    let mut rsv = client(TEXT, b"");
    rsv[0] |= 0x40;
    for (what, wire, code) in [
        ("unmasked", plain, CloseCode::Protocol),
        ("nested", nested, CloseCode::Protocol),
        ("reserved bit", rsv, CloseCode::Protocol),
        (
            "reserved opcode",
            vec![0x83, 0x80, 0, 0, 0, 0],
            CloseCode::Protocol,
        ),
        (
            "lone continuation",
            client(CONTINUE, b""),
            CloseCode::Protocol,
        ),
        ("long ping", client(PING, &[0; 126]), CloseCode::Protocol),
        ("split ping", masked(PING, false, b""), CloseCode::Protocol),
        ("one-byte close", client(CLOSE, &[3]), CloseCode::Protocol),
        ("bad text", client(TEXT, &[0xff]), CloseCode::Invalid),
        ("cut text", client(TEXT, &[0xc3]), CloseCode::Invalid),
        (
            "bad close reason",
            client(CLOSE, &[3, 0xe8, 0xff]),
            CloseCode::Invalid,
        ),
        ("huge", huge, CloseCode::Size),
    ] {
        for piece in [1, wire.len()] {
            assert_eq!(
                feed_in_pieces(&wire, piece).unwrap_err().code,
                code,
                "{what}"
            );
        }
    }
}

#[test]
fn close_codes_are_those_of_the_npm_package() {
    for code in [
        1000, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
    ] {
        let payload = u16::to_be_bytes(code);
        let found = feed_in_pieces(&client(CLOSE, &payload), 1000).unwrap();
        assert_eq!(found, [Incoming::Close(payload.to_vec())], "{code}");
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        let wire = client(CLOSE, &u16::to_be_bytes(code));
        assert!(feed_in_pieces(&wire, 1000).is_err(), "{code}");
    }
}

#[test]
fn the_largest_message_is_no_breach() {
    let mut wire = vec![0x82, 0xff];
    wire.extend(MAX_MESSAGE.to_be_bytes());
    wire.extend([0; 4]);
    assert_eq!(feed_in_pieces(&wire, wire.len()).unwrap(), []);
}

#[test]
fn outgoing_frames_have_the_length_forms_of_the_rfc() {
    let text = |payload: &[u8]| text(0, |out| out.extend_from_slice(payload));
    assert_eq!(&text(b"hi")[..], [0x81, 2, b'h', b'i']);
    assert_eq!(&text(&[b'x'; 300])[..4], [0x81, 126, 1, 44]);
    assert_eq!(
        &text(&vec![b'x'; 70_000])[..10],
        [0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]
    );
    assert_eq!(
        &close(CloseCode::Away, "x")[..],
        [0x88, 3, 0x03, 0xe9, b'x']
    );
    assert_eq!(&ping(b"")[..], [0x89, 0]);
    assert_eq!(&pong(b"")[..], [0x8a, 0]);
}

proptest! {
    #[test]
    fn noise_neither_panics_nor_depends_on_the_cut(wire in proptest::collection::vec(any::<u8>(), 0..400), piece in 1_usize..50) {
        prop_assert_eq!(feed_in_pieces(&wire, piece), feed_in_pieces(&wire, wire.len().max(1)));
    }

    #[test]
    fn text_is_judged_alike_in_pieces(payload in proptest::collection::vec(any::<u8>(), 0..60), piece in 1_usize..7) {
        let wire = client(TEXT, &payload);
        prop_assert_eq!(feed_in_pieces(&wire, piece).is_ok(), std::str::from_utf8(&payload).is_ok());
    }
}
