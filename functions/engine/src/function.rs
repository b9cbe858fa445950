//! What the Lambda functions share: where the configuration is, how much memory there is, and when to stop.

use std::future::Future;
use std::time::{Duration, SystemTime};

use url::Url;

use crate::error::{Error, Result};
use crate::{Config, Engine, Stores};

/// Below this a function cannot hold what a small company's month takes.
const MEMORY_FLOOR: usize = 512 << 20;

/// Memory that comes with one core of Lambda.
const MEMORY_OF_A_CORE: usize = 1_769 << 20;

/// Time that a function keeps to say that it stopped.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What a Lambda function keeps from one call to the next: where its configuration is, and connections to the stores. The
/// lake is listed anew by each call.
#[derive(Debug)]
pub struct Function {
    config: Url,
    stores: Stores,
    /// Bytes; `None` where nobody says.
    memory: Option<usize>,
}

impl Function {
    /// From `CXROI_CONFIG`, a URL, and the size that Lambda tells its functions.
    ///
    /// # Errors
    /// [`Error::Input`] if there is no configuration, or less memory than a month takes.
    pub fn from_environment() -> Result<Self> {
        let config = std::env::var("CXROI_CONFIG").unwrap_or_default();
        let config = config.parse().map_err(|error| {
            Error::Input(format!("CXROI_CONFIG must be the URL of a configuration, as s3://bucket/cxroi.toml: {error}"))
        })?;
        let megabytes = std::env::var("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").ok().and_then(|size| size.parse().ok());
        Self::new(config, Stores::default(), megabytes.map(|size: usize| size << 20))
    }

    /// With this configuration and these bytes of memory.
    ///
    /// # Errors
    /// [`Error::Input`] for less memory than a month takes.
    pub fn new(config: Url, stores: Stores, memory: Option<usize>) -> Result<Self> {
        match memory {
            Some(bytes) if bytes < MEMORY_FLOOR => Err(Error::Input(format!(
                "the function has {} MB of memory; give it at least {} MB",
                bytes >> 20,
                MEMORY_FLOOR >> 20
            ))),
            memory => Ok(Self { config, stores, memory }),
        }
    }

    /// The lake as it is now, with queries bounded by what the function has.
    ///
    /// # Errors
    /// As [`Config::load`] and [`Engine::open`].
    pub async fn open(&self) -> Result<Engine> {
        let mut config = Config::load(&self.config, &self.stores).await?;
        config.memory_limit = config.memory_limit.or(self.memory.map(|bytes| bytes / 10 * 6));
        let mut engine = Engine::open(config, &self.stores).await?;
        if let Some(bytes) = self.memory {
            engine.cores = engine.cores.min(bytes / MEMORY_OF_A_CORE).max(1);
        }
        Ok(engine)
    }

    /// Stops work that would not be done before the function is ended. What it finished stays.
    ///
    /// # Errors
    /// [`Error::Deadline`] then.
    pub async fn before<T>(deadline: SystemTime, work: impl Future<Output = Result<T>>) -> Result<T> {
        let left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
        // An emulator may know no deadline, and then says 1970.
        if deadline == SystemTime::UNIX_EPOCH {
            return work.await;
        }
        let stopped = |_| {
            Error::Deadline(format!(
                "the work was not done in the {} s that were left; what is finished stays, so a second try does the rest; \
                 if that does not help, give the function more memory, and with it more cores",
                left.as_secs()
            ))
        };
        tokio::time::timeout(left.saturating_sub(LAST_WORDS), work).await.map_err(stopped)?
    }
}
