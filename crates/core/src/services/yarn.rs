//! YARN's `ResourceManager`, as far as it tells who is running something.
//!
//! Source: Hadoop, "ResourceManager REST APIs", Cluster Applications API.

use std::time::Duration;

use serde::Deserialize;

/// More than the answer about one user's running applications ever has.
const LARGEST: u64 = 16 << 20;

/// A question to the `ResourceManager` that was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be reached, or says no.
    #[error("ResourceManager {url}")]
    Http {
        /// Its address.
        url: String,
        /// What the client said.
        source: Box<ureq::Error>,
    },
    /// The thread that asked ended without an answer.
    #[error("ResourceManager {url}: the question was given up")]
    Aborted {
        /// Its address.
        url: String,
    },
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some("is yarn.url the ResourceManager's web address?".to_owned())
    }
}

/// A client of a `ResourceManager`.
#[derive(Clone, Debug)]
pub struct Yarn {
    url: String,
    agent: ureq::Agent,
}

#[derive(Deserialize)]
struct Answer {
    /// `null` when there is none.
    apps: Option<Apps>,
}

#[derive(Deserialize)]
struct Apps {
    #[serde(default)]
    app: Vec<App>,
}

#[derive(Deserialize)]
struct App {
    id: String,
}

impl Yarn {
    /// `url`: the web address, `http://host:8088`; `deadline`: of one question. Contacts
    /// nothing.
    pub fn new(url: &str, deadline: Duration) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(deadline))
            .proxy(None)
            .build();
        Self {
            url: url.trim_end_matches('/').to_owned(),
            agent: config.into(),
        }
    }

    /// The ids of the user's applications that are accepted or running.
    pub async fn running(&self, user: &str) -> Result<Vec<String>, Error> {
        let this = self.clone();
        let user = user.to_owned();
        tokio::task::spawn_blocking(move || this.ask(&user))
            .await
            .unwrap_or(Err(Error::Aborted {
                url: self.url.clone(),
            }))
    }

    fn ask(&self, user: &str) -> Result<Vec<String>, Error> {
        let failed = |source| Error::Http {
            url: self.url.clone(),
            source: Box::new(source),
        };
        let states = "NEW,NEW_SAVING,SUBMITTED,ACCEPTED,RUNNING";
        let mut answer = self
            .agent
            .get(format!("{}/ws/v1/cluster/apps", self.url))
            .query("states", states)
            .query("user", user)
            .call()
            .map_err(failed)?;
        let answer: Answer = answer
            .body_mut()
            .with_config()
            .limit(LARGEST)
            .read_json()
            .map_err(failed)?;
        let apps = answer.apps.map(|apps| apps.app).unwrap_or_default();
        Ok(apps.into_iter().map(|app| app.id).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// Answers one request with `body`; gives the request's first line.
    fn serve(body: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; 4096];
            let n = stream.read(&mut request).unwrap();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + body).as_bytes()).unwrap();
            let text = String::from_utf8_lossy(&request[..n]).into_owned();
            text.lines().next().unwrap().to_owned()
        });
        (url, served)
    }

    #[tokio::test]
    async fn names_running_applications_in_the_documented_form() {
        let (url, served) =
            serve(r#"{"apps":{"app":[{"id":"application_1_0001","user":"elvis"}]}}"#);
        let yarn = Yarn::new(&url, Duration::from_secs(5));
        assert_eq!(yarn.running("elvis").await.unwrap(), ["application_1_0001"]);
        let asked = served.join().unwrap();
        assert!(
            asked.contains("/ws/v1/cluster/apps?") && asked.contains("user=elvis"),
            "{asked}"
        );
    }

    #[tokio::test]
    async fn no_application_is_null() {
        let (url, served) = serve(r#"{"apps":null}"#);
        let yarn = Yarn::new(&url, Duration::from_secs(5));
        assert_eq!(yarn.running("elvis").await.unwrap(), Vec::<String>::new());
        served.join().unwrap();
    }
}
