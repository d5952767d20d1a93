//! A headless Chromium, driven through WebDriver.

use harness::DEADLINE;
use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::time::Instant;

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

    /// Waits for an element, and returns its text.
    pub async fn see(&self, xpath: &str) -> String {
        let element = self.find(xpath).await;
        let text = self
            .ask(
                Method::GET,
                &format!("/element/{element}/text"),
                Value::Null,
            )
            .await;
        text.as_str().unwrap().to_owned()
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

    /// Presses keys, one after the other: those of a text, or `\u{e007}` for Enter and others as WebDriver names them.
    pub async fn press(&self, keys: &str) {
        let pressed = keys.chars().flat_map(|key| {
            ["keyDown", "keyUp"].map(|what| json!({"type": what, "value": key.to_string()}))
        });
        let keyboard =
            json!({"type": "key", "id": "keyboard", "actions": pressed.collect::<Vec<_>>()});
        let actions = json!({"actions": [keyboard]});
        self.ask(Method::POST, "/actions", actions).await;
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
