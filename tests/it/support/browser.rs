//! A real Chromium, used as people use it: by reading, clicking and typing.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{Capabilities, Key, WebDriver, WebElement};

use super::app::client;
use super::require::{installed, program};

/// How long a condition may take to become true.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How often a condition is checked.
const INTERVAL: Duration = Duration::from_millis(25);

const FLAGS: [&str; 10] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
];

/// The visible text of the page, without the characters that isolate writing directions.
const VISIBLE_TEXT: &str = r"document.body.innerText.replaceAll(/[\u2068\u2069]/g, '')";

/// A browser with a new profile, and the server whose page it shows.
pub struct Browser {
    // Declared first, so that it is dropped before chromedriver.
    driver: WebDriver,
    _process: Driver,
    address: String,
    /// Other servers to which the page may send requests.
    others: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// A browser with this language; None if Chromium is not installed and the test is skipped.
    pub async fn open(address: &str, language: &str) -> Option<Browser> {
        let chromium = installed("chromium", "chromium chromium-driver", chromium())?;
        let process = Driver::start(&program("chromedriver")?);
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let mut flags: Vec<String> = FLAGS.map(str::to_owned).into();
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        flags.push(format!("--accept-lang={language}"));
        let mut capabilities = Capabilities::new();
        let settings = [
            ("browserName", json!("chrome")),
            (
                "goog:chromeOptions",
                json!({"binary": chromium, "args": flags}),
            ),
            (
                "goog:loggingPrefs",
                json!({"browser": "ALL", "performance": "ALL"}),
            ),
        ];
        for (name, value) in settings {
            capabilities.set(name, value).expect("JSON");
        }
        let driver = WebDriver::builder(process.address.as_str(), capabilities)
            .client(client())
            .connect()
            .await
            .expect("Chromium starts");
        Some(Browser {
            driver,
            _process: process,
            address: address.to_owned(),
            others: Vec::new(),
            _profile: profile,
        })
    }

    /// Allows requests to another server, too.
    pub fn also(&mut self, address: &str) {
        self.others.push(address.to_owned());
    }

    /// Closes the browser. Expects that its console has no errors, and that it has sent no requests
    /// to other hosts.
    pub async fn close(self) {
        let complaints = self.complaints().await;
        assert!(complaints.is_empty(), "{complaints:#?}");
        let strangers = self.strangers().await;
        assert!(strangers.is_empty(), "{strangers:#?}");
        self.driver.quit().await.expect("it ends");
    }

    /// Closes a browser whose console is expected to have errors.
    pub async fn abandon(self) {
        self.driver.quit().await.expect("it ends");
    }

    /// The errors of the console: exceptions, violations of the content security policy, logged
    /// errors. 4xx answers are left out, because a page cannot avoid them.
    async fn complaints(&self) -> Vec<String> {
        let log = self.driver.browser_log().await.expect("the console");
        log.into_iter()
            .filter(|entry| entry.source.as_deref() != Some("network"))
            .map(|entry| format!("{} {}", entry.level, entry.message))
            .collect()
    }

    /// The requests that have failed or got an error, since the console was last read.
    pub async fn failed_requests(&self) -> Vec<String> {
        let log = self.driver.browser_log().await.expect("the console");
        log.into_iter()
            .filter(|entry| entry.source.as_deref() == Some("network"))
            .map(|entry| entry.message)
            .collect()
    }

    async fn strangers(&self) -> Vec<String> {
        let urls = self.requests().await;
        let known = |url: &String| {
            let own = ["data:", "blob:", "about:", "chrome:", self.address.as_str()];
            let others = self.others.iter().map(String::as_str);
            own.into_iter()
                .chain(others)
                .any(|known| url.starts_with(known))
        };
        urls.into_iter().filter(|url| !known(url)).collect()
    }

    /// The addresses of all requests since this was last asked.
    pub async fn requests(&self) -> Vec<String> {
        let log = self.driver.get_log("performance").await.expect("the log");
        let sent = log.iter().filter_map(|entry| {
            let entry: Value = serde_json::from_str(&entry.message).expect("JSON");
            let message = &entry["message"];
            let url = message["params"]["request"]["url"].as_str();
            url.filter(|_| message["method"] == "Network.requestWillBeSent")
                .map(str::to_owned)
        });
        sent.collect()
    }

    /// Opens an address of the server and waits until the page is there.
    pub async fn go(&self, path: &str) {
        let url = format!("{}{path}", self.address);
        self.driver.goto(url).await.expect("a page");
        self.settled().await;
    }

    /// Opens a page of another server.
    pub async fn open_page(&self, path: &str) {
        let url = format!("{}{path}", self.address);
        self.driver.goto(url).await.expect("a page");
    }

    pub async fn reload(&self) {
        self.driver.refresh().await.expect("a page");
        self.settled().await;
    }

    pub async fn back(&self) {
        self.driver.back().await.expect("a page");
    }

    /// Waits until the page has been shown.
    pub async fn settled(&self) {
        let script = "const main = document.querySelector('main'); \
            return Boolean(main && main.children.length && !main.hasAttribute('aria-busy'))";
        self.until("the page", script).await;
    }

    /// Runs a script in the page.
    pub async fn run(&self, script: &str) -> Value {
        self.run_with(script, Vec::new()).await
    }

    pub async fn run_with(&self, script: &str, arguments: Vec<Value>) -> Value {
        let returned = self.driver.execute(script.to_owned(), arguments).await;
        returned
            .unwrap_or_else(|error| panic!("{script}: {error}"))
            .json()
            .clone()
    }

    /// Waits until a script returns true.
    pub async fn until(&self, what: &str, script: &str) {
        self.wait(what, async || {
            // Fails while another page is being loaded.
            let returned = self.driver.execute(script.to_owned(), Vec::new()).await;
            let done = returned.is_ok_and(|returned| *returned.json() == json!(true));
            done.then_some(())
        })
        .await;
    }

    /// Waits until `look` finds something.
    async fn wait<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            if begun.elapsed() > TIMEOUT {
                self.fail(what).await;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn fail(&self, what: &str) -> ! {
        let shot = self.screenshot("failed").await;
        let text = self.text().await;
        let log = self.complaints().await;
        panic!(
            "there is no {what} on the page (see {}):\n{text}\n{log:#?}",
            shot.display()
        );
    }

    /// The visible text of the page.
    pub async fn text(&self) -> String {
        let text = self.run(&format!("return {VISIBLE_TEXT}")).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until this text is visible.
    pub async fn sees(&self, text: &str) {
        let wanted = json!(text);
        let script = format!("return {VISIBLE_TEXT}.includes({wanted})");
        self.until(&format!("{text:?}"), &script).await;
    }

    /// Waits until this text is not visible.
    pub async fn sees_no(&self, text: &str) {
        let unwanted = json!(text);
        let script = format!("return !{VISIBLE_TEXT}.includes({unwanted})");
        self.until(&format!("page without {text:?}"), &script).await;
    }

    /// Waits until the main heading has this text.
    pub async fn arrives_at(&self, heading: &str) {
        let wanted = json!(heading);
        let script = format!("return document.querySelector('h1')?.innerText === {wanted}");
        self.until(&format!("heading {heading:?}"), &script).await;
    }

    /// Waits until the page has this path.
    pub async fn at(&self, path: &str) {
        let wanted = json!(path);
        let script = format!("return location.pathname === {wanted}");
        self.until(&format!("address {path}"), &script).await;
    }

    /// Waits until a choice shows this number of votes.
    pub async fn sees_votes(&self, choice: &str, votes: &str) {
        let (choice, wanted) = (json!(choice), json!(votes));
        let script = format!(
            "return [...document.querySelectorAll('.bar')].some((bar) => \
               bar.querySelector('.text').firstChild.textContent === {choice} && \
               (bar.querySelector('.votes')?.firstChild.textContent ?? '') === {wanted})"
        );
        self.until(&format!("{votes:?} votes for {choice}"), &script)
            .await;
    }

    /// Clicks on the button, link or choice with this name.
    pub async fn press(&self, name: &str) {
        self.named(
            "a, button, label, summary, [type=checkbox]",
            name,
            async |element| element.click().await.ok(),
        )
        .await;
    }

    /// Clicks on the button with this name, if a link has the same name.
    pub async fn press_button(&self, name: &str) {
        self.named("main button", name, async |element| {
            element.click().await.ok()
        })
        .await;
    }

    /// Clicks on the link with this name in the content, if the header has one of the same name.
    pub async fn press_link(&self, name: &str) {
        self.named("main a", name, async |element| element.click().await.ok())
            .await;
    }

    /// Clicks on the button with this name in a dialog; waits for the dialog.
    pub async fn press_in_dialog(&self, name: &str) {
        self.until(
            "dialog",
            "return Boolean(document.querySelector('dialog[open]'))",
        )
        .await;
        self.press(name).await;
    }

    /// Replaces the text of the control with this label.
    pub async fn write(&self, label: &str, text: &str) {
        self.named("input, textarea", label, async |element| {
            element.clear().await.ok()?;
            element.send_keys(text).await.ok()
        })
        .await;
    }

    /// Selects an option of the control with this label.
    pub async fn choose(&self, label: &str, option: &str) {
        self.named("select", label, async |element| {
            element.send_keys(option).await.ok()
        })
        .await;
    }

    /// Types into the focused control.
    pub async fn type_text(&self, text: &str) {
        let focused = self.driver.action_chain().send_keys(text);
        focused.perform().await.expect("it can be typed");
    }

    /// Presses a key.
    pub async fn key(&self, key: Key) {
        let focused = self.driver.action_chain().send_keys(key);
        focused.perform().await.expect("it can be pressed");
    }

    /// Presses Tab until the control with this name has the focus.
    pub async fn tab_to(&self, name: &str) {
        let mut met = Vec::new();
        for _ in 0..80 {
            self.key(Key::Tab).await;
            let focused = self
                .run(&format!(
                    "{NAME_OF} const on = document.activeElement; \
                     return [nameOf(on), on.matches(':focus-visible') && \
                       [on, on.closest('.bar'), on].some((it) => it && \
                         getComputedStyle(it).outlineStyle !== 'none' || \
                         it && getComputedStyle(it, '::after').outlineStyle !== 'none')]"
                ))
                .await;
            met.push(focused[0].as_str().unwrap_or_default().to_owned());
            if focused[0] == json!(name) {
                assert_eq!(focused[1], json!(true), "the focus on {name:?} shows");
                return;
            }
        }
        panic!("the tab key never leads to {name:?}: {met:?}");
    }

    /// Waits for the element with this name, until it stands still, and for `act` on it to succeed.
    /// A click on an element that moves can miss it.
    async fn named(&self, kind: &str, name: &str, act: impl AsyncFn(&WebElement) -> Option<()>) {
        let script = format!(
            "{NAME_OF} const top = document.querySelector('dialog[open]') ?? document; \
             const found = [...top.querySelectorAll(arguments[0])].find((it) => \
               it.checkVisibility() && nameOf(it) === arguments[1]); \
             found?.scrollIntoView({{ block: 'nearest', behavior: 'instant' }}); \
             const place = found && JSON.stringify(found.getBoundingClientRect()); \
             const stands = place === window.placeBefore; \
             window.placeBefore = place; \
             return stands && found || null"
        );
        self.wait(&format!("{name:?}"), async || {
            let arguments = vec![json!(kind), json!(name)];
            let found = self.driver.execute(script.clone(), arguments).await.ok()?;
            let element = found.element().ok()?;
            act(&element).await
        })
        .await;
    }

    /// Sets the size of the window; with `phone`, emulates a mobile device.
    pub async fn resize(&self, width: u32, height: u32, phone: bool) {
        let metrics = json!({
            "width": width, "height": height, "mobile": phone,
            "deviceScaleFactor": if phone { 2 } else { 1 },
        });
        self.tell("Emulation.setDeviceMetricsOverride", metrics)
            .await;
    }

    /// Sets `prefers-color-scheme` to `dark` or `light`.
    pub async fn prefer(&self, scheme: &str) {
        self.emulate("screen", scheme).await;
    }

    /// Shows the page as it is printed for somebody who prefers dark colours.
    pub async fn print(&self) {
        self.emulate("print", "dark").await;
    }

    async fn emulate(&self, media: &str, scheme: &str) {
        let features = [
            json!({"name": "prefers-color-scheme", "value": scheme}),
            // Without transitions, so that screenshots do not differ.
            json!({"name": "prefers-reduced-motion", "value": "reduce"}),
        ];
        let media = json!({"media": media, "features": features});
        self.tell("Emulation.setEmulatedMedia", media).await;
    }

    /// Sends a command of the Chrome DevTools Protocol.
    pub async fn tell(&self, method: &str, parameters: Value) -> Value {
        let told = self.driver.cdp().send_raw(method, parameters).await;
        told.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Opens another tab and switches to it; returns the previous one.
    pub async fn open_tab(&self) -> thirtyfour::WindowHandle {
        let before = self.driver.window().await.expect("a tab");
        let tab = self.driver.new_tab().await.expect("another tab");
        self.driver
            .switch_to_window(tab)
            .await
            .expect("it is there");
        before
    }

    /// Switches to another tab; returns the previous one.
    pub async fn switch_to(&self, tab: &thirtyfour::WindowHandle) -> thirtyfour::WindowHandle {
        let before = self.driver.window().await.expect("a tab");
        let switched = self.driver.switch_to_window(tab.clone()).await;
        switched.expect("it is there");
        before
    }

    /// Switches to a frame of the page.
    pub async fn enter_frame(&self, index: usize) {
        let index = u16::try_from(index).expect("few frames");
        self.driver.enter_frame(index).await.expect("a frame");
    }

    /// Switches from a frame to the page.
    pub async fn leave_frame(&self) {
        self.driver.enter_default_frame().await.expect("a page");
    }

    /// Saves a screenshot, and returns its path.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(format!("{name}.png"));
        let png = self.driver.screenshot_as_png().await.expect("a picture");
        std::fs::write(&path, png).expect("it can be written");
        path
    }
}

/// The name of an element: its label, or its text.
const NAME_OF: &str = "\
    const nameOf = (it) => { \
      const label = it.getAttribute('aria-label') ?? \
        (it.labels?.length ? it.labels[0] : it).cloneNode(true); \
      if (typeof label === 'string') return label; \
      label.querySelectorAll('.unseen, .numbers, .optional, select').forEach((part) => part.remove()); \
      return label.textContent.replace(/\\s+/g, ' ').trim(); };";

fn chromium() -> Option<PathBuf> {
    program("chromedriver")?;
    program("chromium")
}

/// chromedriver, on a port of its own.
struct Driver {
    process: Child,
    address: String,
}

impl Driver {
    fn start(program: &PathBuf) -> Driver {
        let mut process = Command::new(program)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // In a process group of its own: Ctrl+C must not end it before the browser is closed.
            .process_group(0)
            .spawn()
            .expect("chromedriver starts");
        let output = BufReader::new(process.stdout.take().expect("its output"));
        let port = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| {
                let (_, port) = line.split_once("successfully on port ")?;
                port.trim_end_matches('.').parse::<u16>().ok()
            })
            .expect("chromedriver says its port");
        Driver {
            process,
            address: format!("http://127.0.0.1:{port}"),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
