//! Traces and metrics over OTLP, to a collector of the test's own.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::nights::{generate, passed, run};
use crate::stores::place::{Backend, Place, stderr};

/// Answers whatever is posted with 200, and gives path and body of each.
fn collector() -> (String, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, sender) = (stream.unwrap(), sender.clone());
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                let mut buffer = [0; 65_536];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    seen.extend_from_slice(&buffer[..read]);
                    let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
                    let head = String::from_utf8_lossy(&seen[..end]).to_lowercase();
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    let length: usize = length.unwrap().trim().parse().unwrap();
                    if seen.len() < end + 4 + length {
                        continue;
                    }
                    let path = head.split(' ').nth(1).unwrap().to_owned();
                    let _ = sender.send((path, seen[end + 4..end + 4 + length].to_vec()));
                    seen.drain(..end + 4 + length);
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
                }
            });
        }
    });
    (endpoint, receiver)
}

fn holds(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn traces_and_metrics_are_sent_when_the_variables_ask_for_them() {
    let (place, folder) = (Place::new(Backend::Local), tempfile::tempdir().unwrap());
    generate(&folder.path().join("lake"), 2, 500, &[]);
    place.upload_folder(&folder.path().join("lake"), "lake");
    let (endpoint, received) = collector();
    let range = ["--from", "2024-05-01", "--to", "2024-05-03", "--force"];
    let output = run(&place, "out", &range).env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).output().unwrap();
    passed(&place, &output);
    assert_eq!(stderr(&output), "");
    let bodies: Vec<(String, Vec<u8>)> =
        std::iter::from_fn(|| received.recv_timeout(Duration::from_millis(300)).ok()).collect();
    let all =
        |path: &str| bodies.iter().filter(|(of, _)| of == path).flat_map(|(_, body)| body.clone()).collect::<Vec<u8>>();
    let (traces, metrics) = (all("/v1/traces"), all("/v1/metrics"));
    for name in ["run", "plan", "footers", "evaluate", "commit", "2024-05-02", "lakehunt"] {
        assert!(holds(&traces, name), "no span has {name}");
    }
    for name in ["lakehunt.windows", "lakehunt.hits", "lakehunt.rows.read", "lakehunt.run.duration", "done"] {
        assert!(holds(&metrics, name), "no metric has {name}");
    }
    assert!(!holds(&traces, &place.url("lake")), "names and numbers only");

    // Switched off, or without anybody who listens.
    let mut off = run(&place, "out", &range);
    passed(
        &place,
        &off.env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).env("OTEL_SDK_DISABLED", "true").output().unwrap(),
    );
    assert!(received.recv_timeout(Duration::from_millis(300)).is_err());
    let silent = run(&place, "out", &range).env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9").output().unwrap();
    passed(&place, &silent);
    assert!(stderr(&silent).contains("telemetry could not be sent"), "{}", stderr(&silent));
    let grpc = run(&place, "out", &range)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .output()
        .unwrap();
    passed(&place, &grpc);
    assert!(stderr(&grpc).contains("only http/protobuf"), "{}", stderr(&grpc));
}
