//! A WebSocket client, and bare HTTP.

use std::net::Ipv4Addr;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::{PATIENCE, SECRET, Server, token};

/// Sends bytes and reads until the server closes.
pub(crate) async fn http(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    // A reset is an end too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut response))
        .await
        .expect("an end of the response");
    String::from_utf8_lossy(&response).into_owned()
}

/// A socket of a channel.
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TcpStream>,
}

/// Connects to a channel; `query` begins with `?` or is empty.
pub(crate) async fn connect(server: &Server, channel: &str, query: &str) -> Client {
    let token = token(&json!({"channel": channel, "sub": "1"}), SECRET);
    Client::with_cookie(server.port, query, &format!("async-token={token}"))
        .await
        .unwrap()
}

impl Client {
    /// Connects with a Cookie header.
    pub(crate) async fn with_cookie(port: u16, query: &str, cookie: &str) -> Result<Self, Error> {
        Self::from_address(Ipv4Addr::LOCALHOST, port, query, cookie).await
    }

    /// The same from a certain address, with as little memory as can be.
    pub(crate) async fn from_address(
        source: Ipv4Addr,
        port: u16,
        query: &str,
        cookie: &str,
    ) -> Result<Self, Error> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((source, 0).into())?;
        let stream = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await?;
        let mut request = format!("ws://127.0.0.1:{port}/{query}").into_client_request()?;
        request
            .headers_mut()
            .insert("Cookie", cookie.parse().unwrap());
        let config = WebSocketConfig::default().read_buffer_size(1024);
        let (socket, _) = client_async_with_config(request, stream, Some(config)).await?;
        Ok(Self { socket })
    }

    /// The next message that is neither ping nor pong; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            match timeout(PATIENCE, self.socket.next())
                .await
                .expect("a message")?
            {
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(message) => return Some(message),
                Err(_) => return None,
            }
        }
    }

    /// The next event's text.
    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Some(Message::Text(text)) => text.as_str().to_owned(),
            other => panic!("an event was expected, not {other:?}"),
        }
    }

    /// The next event.
    pub(crate) async fn event(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// The jobs of the next events.
    pub(crate) async fn jobs(&mut self, count: usize) -> Vec<String> {
        let mut jobs = Vec::new();
        for _ in 0..count {
            jobs.push(self.event().await["job_id"].as_str().unwrap().to_owned());
        }
        jobs
    }

    /// The code the server closes with; `None` when it does so without one.
    pub(crate) async fn closed(&mut self) -> Option<(CloseCode, String)> {
        loop {
            match self.next().await {
                Some(Message::Close(frame)) => {
                    return frame.map(|frame| (frame.code, frame.reason.as_str().to_owned()));
                }
                Some(_) => {}
                None => return None,
            }
        }
    }

    /// Fails if an event comes within a while.
    pub(crate) async fn nothing_comes(&mut self) {
        if let Ok(message) = timeout(Duration::from_millis(300), self.next()).await {
            panic!("nothing was expected, not {message:?}");
        }
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }
}
