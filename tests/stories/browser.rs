//! A headless Chromium, driven through WebDriver.

use harness::{DEADLINE, until_within};
use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Keys, as WebDriver names them.
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub struct Browser {
    driver: Child,
    client: Client,
    session: String,
}

impl Browser {
    pub async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start chromedriver; apt-get install chromium chromium-driver brings it");
        let client = Client::builder().no_proxy().build().unwrap();
        let base = format!("http://127.0.0.1:{port}");
        let mut browser = Self {
            driver,
            client,
            session: base.clone(),
        };
        let deadline = Instant::now() + DEADLINE;
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        while browser
            .client
            .get(format!("{base}/status"))
            .send()
            .await
            .is_err()
        {
            assert!(Instant::now() < deadline, "chromedriver never answered");
            ticks.tick().await;
        }
        let options = json!({"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900"]});
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}});
        let made = browser.ask(Method::POST, "/session", wanted).await;
        browser.session = format!("{base}/session/{}", made["sessionId"].as_str().unwrap());
        browser
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        self.try_ask(method, path, body)
            .await
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    async fn try_ask(&self, method: Method, path: &str, body: Value) -> Result<Value, Value> {
        let mut request = self
            .client
            .request(method.clone(), format!("{}{path}", self.session));
        if method == Method::POST {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let good = response.status().is_success();
        let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        match good {
            true => Ok(answer["value"].clone()),
            false => Err(answer["value"].clone()),
        }
    }

    /// Forgets the cookies of all servers of this host, whatever their ports.
    pub async fn forget_cookies(&self) {
        self.devtools("Network.clearBrowserCookies", json!({}))
            .await;
    }

    pub async fn open(&self, url: &str) {
        self.ask(Method::POST, "/url", json!({ "url": url })).await;
    }

    /// Waits for an element, and returns its reference.
    async fn find(&self, xpath: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        loop {
            let using = json!({"using": "xpath", "value": xpath});
            if let Ok(found) = self.try_ask(Method::POST, "/element", using).await {
                return found[ELEMENT].as_str().unwrap().to_owned();
            }
            if Instant::now() > deadline {
                let text = self.text("//body").await;
                panic!("never came: {xpath}; the page says:\n{text}");
            }
            ticks.tick().await;
        }
    }

    /// Waits for an element, and returns its text. Where another page has come since it was found, it is looked for
    /// there.
    pub async fn see(&self, xpath: &str) -> String {
        loop {
            let element = self.find(xpath).await;
            let path = format!("/element/{element}/text");
            match self.try_ask(Method::GET, &path, Value::Null).await {
                Ok(text) => return text.as_str().unwrap().to_owned(),
                Err(error) if error["error"] == "stale element reference" => {}
                // The same, where the page was just being left.
                Err(error)
                    if error
                        .to_string()
                        .contains("does not belong to the document") => {}
                Err(error) => panic!("{path}: {error}"),
            }
        }
    }

    async fn text(&self, xpath: &str) -> String {
        let using = json!({"using": "xpath", "value": xpath});
        let found = self.ask(Method::POST, "/element", using).await;
        let element = found[ELEMENT].as_str().unwrap();
        let text = self
            .ask(
                Method::GET,
                &format!("/element/{element}/text"),
                Value::Null,
            )
            .await;
        text.as_str().unwrap().to_owned()
    }

    pub async fn click(&self, xpath: &str) {
        let element = self.find(xpath).await;
        self.ask(
            Method::POST,
            &format!("/element/{element}/click"),
            json!({}),
        )
        .await;
    }

    pub async fn fill(&self, xpath: &str, text: &str) {
        let element = self.find(xpath).await;
        self.ask(
            Method::POST,
            &format!("/element/{element}/value"),
            json!({ "text": text }),
        )
        .await;
    }

    /// Goes on in the frame that a script returns.
    pub async fn enter(&self, frame: &str) {
        let frame = self.script(frame).await;
        self.ask(Method::POST, "/frame", json!({ "id": frame }))
            .await;
    }

    /// Goes on in the page that holds all frames.
    pub async fn leave(&self) {
        self.ask(Method::POST, "/frame", json!({"id": null})).await;
    }

    /// Waits until a script returns true.
    pub async fn until(&self, script: &str, fact: &str) {
        let met = async || self.script(script).await == json!(true);
        until_within(DEADLINE, fact, met).await;
    }

    /// Goes on in the window that was opened last, once there are two.
    pub async fn in_new_window(&self) {
        let two = async || self.windows().await.len() == 2;
        until_within(DEADLINE, "a window was opened", two).await;
        self.switch_to(&self.windows().await[1]).await;
    }

    /// Goes on in the first window.
    pub async fn in_first_window(&self) {
        self.switch_to(&self.windows().await[0]).await;
    }

    async fn windows(&self) -> Vec<Value> {
        let handles = self.ask(Method::GET, "/window/handles", Value::Null).await;
        handles.as_array().unwrap().clone()
    }

    async fn switch_to(&self, window: &Value) {
        self.ask(Method::POST, "/window", json!({ "handle": window }))
            .await;
    }

    /// Presses keys one after the other, wherever the focus is.
    pub async fn press(&self, keys: &str) {
        let keys = keys.chars().flat_map(|key| {
            ["keyDown", "keyUp"].map(|action| json!({"type": action, "value": key}))
        });
        let keys: Vec<Value> = keys.collect();
        let keyboard = json!({"actions": [{"type": "key", "id": "keyboard", "actions": keys}]});
        self.ask(Method::POST, "/actions", keyboard).await;
    }

    /// Moves the focus on with the keyboard until it is on an element that matches this selector and has this text.
    pub async fn tab_to(&self, selector: &str, text: &str) {
        let is_there = format!(
            "const at = document.activeElement;
            return at.matches({selector:?}) && (at.textContent.trim() === {text:?} || {text:?} === '')"
        );
        for _ in 0..80 {
            self.press(TAB).await;
            if self.script(&is_there).await == json!(true) {
                return;
            }
        }
        let page = self.text("//body").await;
        panic!("the keyboard does not lead to {selector} {text:?} on:\n{page}");
    }

    /// What keeps people from using the page, by the rules of WCAG 2.2 AA as axe-core tests them.
    pub async fn barriers(&self) -> Vec<String> {
        let file = Path::new("target/peers/axe/node_modules/axe-core/axe.min.js");
        let axe = std::fs::read_to_string(file);
        let axe = axe.expect("axe-core is not here; run scripts/install-peers");
        self.script(&axe).await;
        let run = "const done = arguments[arguments.length - 1];
            const only = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
            axe.run(document, { runOnly: only, iframes: false }).then((found) => {
                const nodes = (broken) => broken.nodes.map((node) => node.html + ' ' + node.failureSummary);
                done(found.violations.map((broken) => broken.id + ': ' + nodes(broken).join('; ')));
            }, (error) => done([String(error)]));";
        let found = json!({"script": run, "args": []});
        let found = self.ask(Method::POST, "/execute/async", found).await;
        serde_json::from_value(found).unwrap()
    }

    pub async fn script(&self, script: &str) -> Value {
        self.ask(
            Method::POST,
            "/execute/sync",
            json!({"script": script, "args": []}),
        )
        .await
    }

    async fn devtools(&self, command: &str, params: Value) {
        self.ask(
            Method::POST,
            "/goog/cdp/execute",
            json!({"cmd": command, "params": params}),
        )
        .await;
    }

    /// Sets the colour scheme, `light` or `dark`, and the size of the window in pixels.
    pub async fn look(&self, scheme: &str, width: u32, height: u32) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await;
    }

    /// Takes a picture of the page. If ROWHOOK_SCREENSHOTS is set, it is also written to docs/book/page.
    pub async fn picture(&self, name: &str) -> Vec<u8> {
        let png = self.ask(Method::GET, "/screenshot", Value::Null).await;
        let png = BASE64_STANDARD.decode(png.as_str().unwrap()).unwrap();
        if std::env::var_os("ROWHOOK_SCREENSHOTS").is_some() {
            std::fs::create_dir_all("docs/book/page").unwrap();
            std::fs::write(format!("docs/book/page/{name}.png"), &png).unwrap();
        }
        png
    }

    /// What the browser has logged: broken scripts, refused styles.
    pub async fn complaints(&self) -> Vec<Value> {
        let log = self
            .ask(Method::POST, "/se/log", json!({"type": "browser"}))
            .await;
        let entries = log.as_array().cloned().unwrap_or_default();
        entries
            .into_iter()
            .filter(|entry| entry["level"] == json!("SEVERE"))
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // On SIGTERM, Chromedriver ends its browsers too.
        let pid = nix::unistd::Pid::from_raw(self.driver.id().try_into().unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.driver.wait();
    }
}
