//! What the Lambda functions share: where the configuration is, how much memory there is, and when to stop.

use std::future::Future;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use url::Url;

use crate::error::{Error, Result};
use crate::{Config, Engine, Stores};

/// Below this a function cannot hold what a small company's month takes.
const MEMORY_FLOOR: usize = 512 << 20;

/// Memory that comes with one core of Lambda.
pub(crate) const MEMORY_OF_A_CORE: usize = 1_769 << 20;

/// Time that a function keeps to say that it stopped.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What a second with a gigabyte of memory costs, and a call, in US dollars: the first tier of AWS's price list of us-east-1.
pub(crate) const GIGABYTE_SECOND: f64 = if cfg!(target_arch = "aarch64") { 0.000_013_333_4 } else { 0.000_016_666_7 };
const CALL: f64 = 0.000_000_2;

/// A number of a call, with its unit as CloudWatch has it.
pub type Metric = (&'static str, f64, &'static str);

/// What a Lambda function keeps from one call to the next: where its configuration is, and connections to the stores. The
/// lake is listed anew by each call.
#[derive(Debug)]
pub struct Function {
    name: &'static str,
    /// Where CloudWatch puts its metrics; `None` where nobody wants them.
    namespace: Option<String>,
    config: Url,
    stores: Stores,
    /// Bytes; `None` where nobody says.
    memory: Option<usize>,
}

impl Function {
    /// The function of a name, from `CXROI_CONFIG`, a URL, `CXROI_METRICS`, a namespace of CloudWatch if there is one, and the
    /// size that Lambda tells its functions.
    ///
    /// # Errors
    /// [`Error::Input`] if there is no configuration, or less memory than a month takes.
    pub fn from_environment(name: &'static str) -> Result<Self> {
        let config = std::env::var("CXROI_CONFIG").unwrap_or_default();
        let config = config.parse().map_err(|error| {
            Error::Input(format!("CXROI_CONFIG must be the URL of a configuration, as s3://bucket/cxroi.toml: {error}"))
        })?;
        let megabytes = std::env::var("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").ok().and_then(|size| size.parse().ok());
        let namespace = std::env::var("CXROI_METRICS").ok().filter(|namespace| !namespace.is_empty());
        let function = Self::new(config, Stores::default(), megabytes.map(|size: usize| size << 20))?;
        Ok(Self { name, namespace, ..function })
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
            memory => Ok(Self { name: "", namespace: None, config, stores, memory }),
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

    /// Does the work of a call as [`Function::before`] does, and writes one line of what it took to standard output, where
    /// CloudWatch makes metrics of it (embedded metric format). `told` are those that only the answer knows.
    ///
    /// # Errors
    /// Those of the work, and [`Error::Deadline`].
    pub async fn measured<T>(
        &self,
        deadline: SystemTime,
        work: impl Future<Output = Result<T>>,
        told: impl FnOnce(&T) -> Vec<Metric>,
    ) -> Result<T> {
        let began = Instant::now();
        let done = Self::before(deadline, work).await;
        let mut metrics = done.as_ref().map_or_else(|_| Vec::new(), told);
        metrics.push(("Failures", f64::from(u8::from(done.is_err())), "Count"));
        if let Some(line) = self.line(SystemTime::now(), began.elapsed(), peak_memory(), metrics) {
            // A line that cannot be written is no reason to fail what was done.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
        done
    }

    /// A line of the embedded metric format, if somebody wants it. `peak` is in bytes.
    fn line(&self, now: SystemTime, took: Duration, peak: Option<usize>, mut metrics: Vec<Metric>) -> Option<Value> {
        const MEGABYTE: f64 = 1_048_576.0;
        let seconds = took.as_secs_f64();
        metrics.push(("Seconds", seconds, "Seconds"));
        if let Some(peak) = peak {
            metrics.push(("PeakMemory", peak as f64 / MEGABYTE, "Megabytes"));
        }
        if let Some(memory) = self.memory {
            let gigabytes = memory as f64 / MEGABYTE / 1024.0;
            metrics.push(("EstimatedCost", seconds * gigabytes * GIGABYTE_SECOND + CALL, "None"));
            if let Some(peak) = peak {
                metrics.push(("MemoryShare", peak as f64 / memory as f64 * 100.0, "Percent"));
            }
        }
        let names: Vec<Value> = metrics.iter().map(|(name, _, unit)| json!({"Name": name, "Unit": unit})).collect();
        let namespace = self.namespace.as_ref()?;
        let timestamp = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut line = json!({
            "_aws": {
                "Timestamp": timestamp as u64,
                "CloudWatchMetrics": [{"Namespace": namespace, "Dimensions": [["function"]], "Metrics": names}],
            },
            "function": self.name,
        });
        for (name, value, _) in metrics {
            line[name] = json!(value);
        }
        Some(line)
    }

    /// Stops work that would not be done before the function is ended. What it finished stays.
    ///
    /// # Errors
    /// [`Error::Deadline`] then.
    pub async fn before<T>(deadline: SystemTime, work: impl Future<Output = Result<T>>) -> Result<T> {
        let left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
        // An emulator may know no deadline; it then says 1970.
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

/// The most bytes that the process ever held, where the system says.
pub fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?;
    Some(kilobytes.parse::<usize>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_says_what_it_took_where_somebody_asks() {
        let config = "memory://lake/cxroi.toml".parse().unwrap();
        let silent = Function::new(config, Stores::default(), Some(2 << 30)).unwrap();
        let then = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700);
        let line = |function: &Function| {
            function.line(then, Duration::from_secs(10), Some(512 << 20), vec![("Failures", 0.0, "Count")])
        };
        assert_eq!(line(&silent), None);
        let asked = line(&Function { name: "plan", namespace: Some("cxroi/stack".to_owned()), ..silent }).unwrap();
        let directive = &asked["_aws"]["CloudWatchMetrics"][0];
        assert_eq!((&asked["function"], &directive["Namespace"]), (&json!("plan"), &json!("cxroi/stack")));
        assert_eq!(asked["_aws"]["Timestamp"], 1_700);
        for metric in directive["Metrics"].as_array().unwrap() {
            assert!(asked[metric["Name"].as_str().unwrap()].is_number(), "{metric}");
        }
        assert_eq!((&asked["Seconds"], &asked["PeakMemory"]), (&json!(10.0), &json!(512.0)));
        assert_eq!((&asked["MemoryShare"], &asked["Failures"]), (&json!(25.0), &json!(0.0)));
        let cost = asked["EstimatedCost"].as_f64().unwrap();
        assert!((cost - (20.0 * GIGABYTE_SECOND + CALL)).abs() < 1e-12, "{cost}");
        assert!(peak_memory().is_none_or(|bytes| bytes > 1 << 20));
    }
}
