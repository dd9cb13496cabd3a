//! What may leave a tarball for a host: entries of the user's places, and nothing else. The
//! tarball lies where others may write too, and is unpacked by root.
//!
//! Format: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; sparse files
//! as GNU tar writes them into it ("GNU tar manual", "Storing Sparse Files", version 1.0).

use std::collections::HashSet;
use std::io::{self, Read, Write};

use tar::{EntryType, Header};

/// Headers, and the parts of the data.
const BLOCK: usize = 512;
/// More than any extended header has: a path of 4096 bytes, and attributes of 64 KiB each.
const LONGEST: u64 = 8 << 20;

/// Why a tarball is not unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// It cannot be read, or what comes out of it cannot be written.
    #[error("the tarball ends early, or is damaged")]
    Io(#[from] io::Error),
    /// An entry that is no part of the user's places.
    #[error("the tarball holds {name:?}, {why}")]
    Entry {
        /// The entry's name, as far as it is text.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// A place that entries may be of: its path, relative to the root, without a slash at its end.
#[derive(Clone, Debug)]
pub struct Place {
    /// The path.
    pub path: Vec<u8>,
    /// Whether its entries are passed on; else they are only looked at.
    pub wanted: bool,
    /// Whether it is on the host as the tarball has it, or will be: its files may be given other
    /// names elsewhere.
    pub there: bool,
}

/// Copies the entries of the wanted places from `tarball` to `out`, as they are, and ends the
/// archive. Reads to the end. Gives the number of entries that were copied. Nothing of an entry
/// is written before all of its header has been found sound; `min_uid`: below it nobody is a
/// person, and no file may act as one of these.
///
/// # Errors
/// [`Refused`]: the first entry that is not of any place, or is more than files, folders, links
/// and pipes, or reaches through a link.
pub fn filter(
    mut tarball: impl Read,
    mut out: impl Write,
    places: &[Place],
    min_uid: u64,
) -> Result<u64, Refused> {
    let mut links = HashSet::new();
    let mut extended: Option<(Vec<u8>, Vec<u8>)> = None;
    let mut copied = 0;
    loop {
        let mut block = [0; BLOCK];
        tarball.read_exact(&mut block)?;
        if block.iter().all(|byte| *byte == 0) {
            break;
        }
        let header = Header::from_byte_slice(&block);
        sound(&block, header)?;
        let kind = header.entry_type();
        if kind == EntryType::XHeader {
            let size = header.entry_size()?;
            if size > LONGEST || extended.is_some() {
                return refuse(&header.path_bytes(), "an extended header that is none");
            }
            let data = read(&mut tarball, size)?;
            let length = usize::try_from(size).unwrap_or_default();
            let raw = [block.as_slice(), &data].concat();
            extended = Some((raw, data[..length].to_vec()));
            continue;
        }
        let (raw, records) = extended.take().unwrap_or_default();
        let entry = Entry::new(header, &records)?;
        let place = entry.check(places, &mut links, min_uid)?;
        let padded = entry.size.div_ceil(BLOCK as u64) * BLOCK as u64;
        let mut data = (&mut tarball).take(padded);
        let sent = if place.wanted {
            out.write_all(&raw)?;
            out.write_all(&block)?;
            copied += 1;
            io::copy(&mut data, &mut out)?
        } else {
            io::copy(&mut data, &mut io::sink())?
        };
        if sent != padded {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    io::copy(&mut tarball, &mut io::sink())?;
    out.write_all(&[0; 2 * BLOCK])?;
    out.flush()?;
    Ok(copied)
}

fn refuse<T>(name: &[u8], why: &'static str) -> Result<T, Refused> {
    Err(Refused::Entry {
        name: String::from_utf8_lossy(name).chars().take(200).collect(),
        why,
    })
}

/// The header's own checksum, with its field as spaces.
fn sound(block: &[u8; BLOCK], header: &Header) -> Result<(), Refused> {
    const FIELD: std::ops::Range<usize> = 148..156;
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            if FIELD.contains(&at) {
                32
            } else {
                u32::from(*byte)
            }
        })
        .sum();
    if header.cksum()? == sum {
        Ok(())
    } else {
        Err(io::Error::other("a header's checksum is wrong").into())
    }
}

/// So much data with its padding.
fn read(tarball: &mut impl Read, size: u64) -> io::Result<Vec<u8>> {
    let padded = size.div_ceil(BLOCK as u64) * BLOCK as u64;
    let mut data = Vec::new();
    if tarball.take(padded).read_to_end(&mut data)? as u64 == padded {
        Ok(data)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Takes the next record off: its length, a space, `KEY=VALUE`, a newline. The crate's own reader
/// takes newlines in values for ends.
fn next_record<'a>(rest: &mut &'a [u8]) -> io::Result<Option<(&'a [u8], &'a [u8])>> {
    if rest.is_empty() {
        return Ok(None);
    }
    let damaged = || io::Error::other("an extended header is damaged");
    let digits = rest
        .iter()
        .position(|byte| *byte == b' ')
        .ok_or_else(damaged)?;
    let length = usize::try_from(number(&rest[..digits])?).map_err(|_| damaged())?;
    let (record, after) = rest.split_at_checked(length).ok_or_else(damaged)?;
    let body = record
        .get(digits + 1..)
        .and_then(|body| body.strip_suffix(b"\n"));
    let body = body.ok_or_else(damaged)?;
    let equals = body
        .iter()
        .position(|byte| *byte == b'=')
        .ok_or_else(damaged)?;
    *rest = after;
    Ok(Some((&body[..equals], &body[equals + 1..])))
}

fn number(text: &[u8]) -> io::Result<u64> {
    let text = std::str::from_utf8(text).ok();
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| io::Error::other("a number that is none"))
}

struct Entry {
    kind: EntryType,
    name: Vec<u8>,
    link: Vec<u8>,
    size: u64,
    mode: u32,
    uid: u64,
    /// Whether it can do what otherwise only root can. Source: capabilities(7), "File capabilities".
    capable: bool,
}

impl Entry {
    /// The extended header's records go before the header's fields.
    fn new(header: &Header, records: &[u8]) -> Result<Self, Refused> {
        let mut entry = Self {
            kind: header.entry_type(),
            name: header.path_bytes().into_owned(),
            link: header.link_name_bytes().unwrap_or_default().into_owned(),
            size: 0,
            mode: header.mode()?,
            uid: 0,
            capable: false,
        };
        let (mut sparse_name, mut size, mut uid) = (None, None, None);
        let mut rest = records;
        while let Some((key, value)) = next_record(&mut rest)? {
            match key {
                b"path" => entry.name = value.to_vec(),
                b"linkpath" => entry.link = value.to_vec(),
                b"GNU.sparse.name" => sparse_name = Some(value.to_vec()),
                b"size" => size = Some(number(value)?),
                b"uid" => uid = Some(number(value)?),
                b"SCHILY.xattr.security.capability" => entry.capable = true,
                _ => {}
            }
        }
        entry.name = sparse_name.unwrap_or(entry.name);
        entry.size = match size {
            Some(size) => size,
            None => header.entry_size()?,
        };
        entry.uid = match uid {
            Some(uid) => uid,
            None => header.uid()?,
        };
        Ok(entry)
    }

    /// The place that the entry is of.
    fn check<'a>(
        &self,
        places: &'a [Place],
        links: &mut HashSet<Vec<u8>>,
        min_uid: u64,
    ) -> Result<&'a Place, Refused> {
        let refuse = |why| refuse(&self.name, why);
        let name = self.name.strip_suffix(b"/").unwrap_or(&self.name);
        let Some(place) = inside(name, places) else {
            return refuse("which is outside the user's places");
        };
        if through(name, links) {
            return refuse("which reaches through a link");
        }
        match self.kind {
            EntryType::Regular | EntryType::Continuous => {
                if self.capable || self.mode & 0o4000 != 0 && self.uid < min_uid {
                    return refuse("a program that acts as a system account");
                }
            }
            _ if self.size != 0 => return refuse("which has data, and is no file"),
            EntryType::Directory | EntryType::Fifo => {}
            EntryType::Symlink => {
                links.insert(name.to_vec());
            }
            EntryType::Link => {
                let of = inside(&self.link, places);
                let known = of.is_some_and(|of| of.there || !place.wanted);
                if !known || through(&self.link, links) {
                    return refuse(
                        "another name of a file outside the places that are to be there",
                    );
                }
            }
            _ => return refuse("which is no file, folder, link or pipe"),
        }
        Ok(place)
    }
}

/// The place that the name is, or lies in.
fn inside<'a>(name: &[u8], places: &'a [Place]) -> Option<&'a Place> {
    let normal = name
        .split(|byte| *byte == b'/')
        .all(|part| !matches!(part, b"" | b"." | b".."));
    if !normal || name.contains(&0) {
        return None;
    }
    places.iter().find(|place| {
        name.strip_prefix(place.path.as_slice())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    })
}

/// Whether a folder on the way to the name is a link.
fn through(name: &[u8], links: &HashSet<Vec<u8>>) -> bool {
    name.iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'/')
        .any(|(at, _)| links.contains(&name[..at]))
}

#[cfg(test)]
mod tests;
