//! Workers on machines of their own, as far as one machine can have them: each in a network namespace, reached over a bridge,
//! guarded by TLS and a token.

use std::process::Command;

use super::access::certificate;
use super::{Worker, hits, lakehunt, run, stderr, tenant};
use crate::stores::servers;

const TOKEN: &str = "T0KEN-between-namespaces";
const COUNT: u8 = 4;

fn ip(line: &str) {
    let output = Command::new("ip").args(line.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {line}: {}", stderr(&output));
}

/// A bridge, and namespaces that are joined to it; gone with this.
struct Network {
    names: Vec<String>,
    bridge: String,
    net: String,
}

impl Network {
    fn new() -> Self {
        let id = std::process::id() % 10_000;
        let network = Self {
            names: (1..=COUNT).map(|i| format!("lh{id}n{i}")).collect(),
            bridge: format!("lh{id}br"),
            // Of the block for benchmarks, which no network has.
            net: format!("198.18.{}", id % 250),
        };
        let Self { names, bridge, net } = &network;
        ip(&format!("link add {bridge} type bridge"));
        ip(&format!("addr add {net}.254/24 dev {bridge}"));
        ip(&format!("link set {bridge} up"));
        for (i, name) in names.iter().enumerate() {
            let i = i + 1;
            ip(&format!("netns add {name}"));
            ip(&format!("link add {bridge}{i} type veth peer name eth0 netns {name}"));
            ip(&format!("link set {bridge}{i} master {bridge} up"));
            ip(&format!("-n {name} addr add {net}.{i}/24 dev eth0"));
            ip(&format!("-n {name} link set eth0 up"));
            ip(&format!("-n {name} link set lo up"));
        }
        network
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
        let _ = Command::new("ip").args(["link", "del", &self.bridge]).output();
    }
}

#[test]
fn workers_in_network_namespaces_give_the_rows_of_one_process() {
    let probe = format!("lh{}probe", std::process::id() % 10_000);
    let tests = "workers in network namespaces";
    if servers::needs(tests, "ip", &["netns", "add", &probe]).is_none() {
        return;
    }
    ip(&format!("netns del {probe}"));
    let network = Network::new();
    let folder = tenant(12, 20_000);
    assert!(run(folder.path(), "alone", "all").status().unwrap().success());
    let (cert, key) = certificate(folder.path());
    let start = |i: usize, name: &String| {
        let program = lakehunt().get_program().to_owned();
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", name]).arg(program).arg("worker");
        inside.args(["--listen", &format!("{}.{}:7430", network.net, i + 1), "--tls-cert", &cert, "--tls-key", &key]);
        inside.args(["--worker-ca", &cert, "--worker-name", "localhost"]).env("LAKEHUNT_WORKER_TOKEN", TOKEN);
        Worker::of(inside)
    };
    for count in [2, usize::from(COUNT)] {
        let workers: Vec<Worker> =
            network.names.iter().enumerate().take(count).map(|(i, name)| start(i, name)).collect();
        let output = format!("together-{count}");
        let mut together = run(folder.path(), &output, "all");
        together.args(["--workers", &super::urls(&workers), "--worker-ca", &cert, "--worker-name", "localhost"]);
        let done = together.env("LAKEHUNT_WORKER_TOKEN", TOKEN).output().unwrap();
        assert!(done.status.success(), "{}", stderr(&done));
        assert!(hits(&folder.path().join("alone")) == hits(&folder.path().join(&output)), "{count} workers");
    }
}
