//! Who is let in, and where a worker may listen; over real connections.

use tokio::net::TcpListener;

use super::{Access, Service, VERSION, Workers, serve};
use crate::engine::{self, Limits};
use crate::error::{ErrorKind, Result};
use crate::store::Stores;

fn service(token: Option<&str>, version: &'static str) -> Service {
    let access = Access::default().with_token(token).unwrap();
    Service { access, identity: None, stores: Stores::new([]), memory: 1 << 30, version }
}

/// Asks a worker for a session, as a run does.
async fn ask(service: Service, token: Option<&str>) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let worker = tokio::spawn(serve(listener, service));
    let workers = Workers::new(&[url], Access::default().with_token(token)?)?;
    let limits = Limits { threads: std::num::NonZeroUsize::MIN, memory: 1 << 30, interval_join: true };
    let asked = workers.session(limits, &engine::memory(limits).unwrap(), &Stores::new([])).await;
    worker.abort();
    asked.map(|_| ())
}

#[tokio::test]
async fn those_who_know_the_token_are_let_in() {
    ask(service(None, VERSION), None).await.unwrap();
    ask(service(Some("S3CRET"), VERSION), Some("S3CRET")).await.unwrap();
    for given in [None, Some("S3CRE"), Some("S3CRETS")] {
        let error = ask(service(Some("S3CRET"), VERSION), given).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("LAKEHUNT_WORKER_TOKEN") && !shown.contains("S3CRE"), "{shown}");
    }
}

#[tokio::test]
async fn another_version_is_refused_by_name() {
    let error = ask(service(None, "0.0.9"), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    assert!(error.to_string().contains("0.0.9") && error.to_string().contains(VERSION), "{error}");
}

#[tokio::test]
async fn a_run_without_a_worker_says_so() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let workers = Workers::new(&[format!("http://{free}")], Access::default()).unwrap();
    let limits = Limits { threads: std::num::NonZeroUsize::MIN, memory: 1 << 30, interval_join: true };
    let error =
        workers.session(limits, &engine::memory(limits).unwrap(), &Stores::new([])).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
}

#[test]
fn without_token_and_tls_only_this_machine_is_served() {
    for (address, fine) in
        [("127.0.0.1:7430", true), ("[::1]:7430", true), ("0.0.0.0:7430", false), ("10.0.0.1:1", false)]
    {
        for token in [None, Some("S3CRET")] {
            let checked = service(token, VERSION).check(address.parse().unwrap());
            assert_eq!(checked.is_ok(), fine, "{address}");
        }
    }
}

#[test]
fn a_token_is_not_shown() {
    let access = Access::default().with_token(Some("S3CRET")).unwrap();
    assert!(!format!("{access:?}").contains("S3CRET"));
}
