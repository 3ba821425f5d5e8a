//! A server between a client and a store that answers some requests itself: with a refusal that passes, or not at all.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// The store's own.
    Passed,
    /// A status, with a body as S3 has it.
    Status(u16),
    /// The connection is closed before the answer.
    Closed,
    /// The connection is closed within the body of the store's answer.
    CutShort,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Proxy {
    /// Stands before the server at `host:port`, and asks `plan` for each request, counted from 1.
    pub(crate) fn before(target: &str, plan: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let (count, plan, target) = (Arc::clone(&requests), Arc::new(plan), target.to_owned());
        // It ends with the test process; what a test does not ask for does nothing.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (count, plan, target) = (Arc::clone(&count), Arc::clone(&plan), target.clone());
                thread::spawn(move || serve(client, &target, &count, plan.as_ref()));
            }
        });
        Self { address, requests }
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// One request a connection: simple, and every other one is then a new connection.
fn serve(
    mut client: TcpStream,
    target: &str,
    count: &AtomicUsize,
    plan: &(dyn Fn(usize) -> Answer + Send + Sync),
) -> Option<()> {
    let request = read_request(&mut client)?;
    let answer = plan(count.fetch_add(1, Ordering::SeqCst) + 1);
    match answer {
        Answer::Closed => {}
        Answer::Status(status) => {
            let body = "<Error><Code>SlowDown</Code></Error>";
            let head = format!("HTTP/1.1 {status} Wait\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            client.write_all(format!("{head}{body}").as_bytes()).ok()?;
        }
        Answer::Passed | Answer::CutShort => {
            let mut server = TcpStream::connect(target).ok()?;
            server.write_all(&request).ok()?;
            let mut reply = Vec::new();
            server.read_to_end(&mut reply).ok()?;
            let end = match answer {
                Answer::CutShort if body_of(&reply).is_some_and(|body| reply.len() > body + 1) => reply.len() - 1,
                _ => reply.len(),
            };
            client.write_all(&reply[..end]).ok()?;
        }
    }
    client.shutdown(Shutdown::Both).ok()
}

fn body_of(message: &[u8]) -> Option<usize> {
    message.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// A request with its body, told to be the only one of its connection.
fn read_request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut request, mut part) = (Vec::new(), [0; 16 << 10]);
    let body = loop {
        if let Some(body) = body_of(&request) {
            break body;
        }
        match client.read(&mut part).ok()? {
            0 => return None,
            count => request.extend(&part[..count]),
        }
    };
    let head = String::from_utf8_lossy(&request[..body]).into_owned();
    let length = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    };
    let length = head.lines().find_map(length).unwrap_or(0);
    while request.len() < body + length {
        match client.read(&mut part).ok()? {
            0 => return None,
            count => request.extend(&part[..count]),
        }
    }
    let kept = head.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut sent = kept.collect::<Vec<_>>().join("\r\n").into_bytes();
    sent.extend(b"\r\nConnection: close\r\n\r\n");
    sent.extend(&request[body..]);
    Some(sent)
}
