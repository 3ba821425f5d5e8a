//! A real browser, headless: a page that no browser has shown proves nothing.
//!
//! Chromium comes from npm, as a package that holds the program and the libraries that it needs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::stores::servers::{bare, install, needs, run};

const CHROMIUM: &str = "143.0.4";
const PUPPETEER: &str = "24.36.0";

const SCRIPT: &str = include_str!("browser.mjs");

/// Unpacks the program and its libraries; the package puts them where temporary files go.
const UNPACK: &str = r#"import chromium from "@sparticuz/chromium"; await chromium.executablePath();"#;

/// The font that comes along, and none of the machine's: what a page looks like must not depend on it.
const FONTS: &str = r#"<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir prefix="relative">unpacked/fonts</dir><cachedir prefix="relative">font-cache</cachedir></fontconfig>
"#;

/// The browser. None, having said so, where the machine lacks what it needs.
pub(super) fn browser() -> Option<&'static Browser> {
    static BROWSER: OnceLock<Option<Browser>> = OnceLock::new();
    BROWSER.get_or_init(Browser::install).as_ref()
}

pub(super) struct Browser {
    folder: PathBuf,
    chromium: PathBuf,
}

/// How a page is looked at.
#[derive(Clone, Copy)]
pub(super) struct Look {
    pub(super) width: u32,
    pub(super) dark: bool,
    pub(super) scripts: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self { width: 1280, dark: false, scripts: true }
    }
}

/// What came of the steps in a page.
#[derive(Debug)]
pub(super) struct Seen {
    /// Of the steps that give something.
    pub(super) results: Vec<Value>,
    /// On its console, errors and refusals of its policy among them.
    pub(super) said: Vec<Value>,
    /// Beside itself.
    pub(super) asked: Vec<Value>,
    /// Dialogs.
    pub(super) opened: Vec<Value>,
}

impl Seen {
    /// The page showed itself, and did nothing else.
    pub(super) fn quiet(self) -> Vec<Value> {
        assert!(self.said.is_empty() && self.asked.is_empty() && self.opened.is_empty(), "{self:?}");
        self.results
    }
}

impl Browser {
    fn install() -> Option<Self> {
        let tests = "tests of the report in a browser";
        needs(tests, "node", &["--version"])?;
        needs(tests, "npm", &["--version"])?;
        let part = format!("browser-{CHROMIUM}-{PUPPETEER}");
        let chromium = install(&part, "unpacked/chromium", |folder, lock| {
            let npm = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"];
            let packages = [format!("@sparticuz/chromium@{CHROMIUM}"), format!("puppeteer-core@{PUPPETEER}")];
            run(lock, Command::new("npm").args(npm).arg(folder).args(packages));
            let unpacked = folder.join("unpacked");
            std::fs::create_dir(&unpacked).unwrap();
            let mut unpack = Command::new("node");
            // The libraries come along where the package takes this for the place that it was made for.
            bare(&mut unpack).env("TMPDIR", unpacked).env("AWS_LAMBDA_JS_RUNTIME", "nodejs20.x");
            run(lock, unpack.current_dir(folder).args(["--input-type=module", "-e", UNPACK]));
            // A page without any font hangs.
            std::fs::write(folder.join("fonts.conf"), FONTS).unwrap();
        });
        let folder = chromium.ancestors().nth(2).unwrap().to_owned();
        let browser = Self { folder, chromium };
        // Only Linux on x86-64 can run it.
        let libraries = format!("LD_LIBRARY_PATH={}", browser.libraries().display());
        needs(tests, "env", &[&libraries, browser.chromium.to_str().unwrap(), "--version"])?;
        Some(browser)
    }

    fn libraries(&self) -> PathBuf {
        self.folder.join("unpacked/al2023/lib")
    }

    /// Opens a page and takes the steps in it, each an array of its name and what it needs.
    pub(super) fn open(&self, page: &Path, look: Look, steps: &[Value]) -> Seen {
        let url = format!("file://{}", page.display());
        let task = json!({
            "chromium": self.chromium, "page": url, "width": look.width, "height": 900, "dark": look.dark,
            "scripts": look.scripts, "steps": steps,
        });
        let mut command = Command::new("node");
        bare(&mut command)
            .env("LD_LIBRARY_PATH", self.libraries())
            .env("FONTCONFIG_FILE", self.folder.join("fonts.conf"))
            .current_dir(&self.folder)
            .args(["--input-type=module", "-e", SCRIPT]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("node starts");
        child.stdin.take().unwrap().write_all(task.to_string().as_bytes()).expect("node reads its task");
        let output = child.wait_with_output().expect("node ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
        let list = |name: &str| seen[name].as_array().unwrap().clone();
        let asked = list("asked").into_iter().filter(|asked| asked != &url).collect();
        Seen { results: list("results"), said: list("said"), asked, opened: list("opened") }
    }
}
