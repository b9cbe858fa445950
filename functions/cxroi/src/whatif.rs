//! `cxroi whatif`: published values of customers by band, applied to customers who would be in another band.

use anyhow::{Context, Result};
use engine::{Error, figure};
use serde_json::Value;
use stats::Estimate;
use stats::lifetime_value::moved;

use crate::arguments::{Band, What};

impl Band {
    fn name(self) -> &'static str {
        match self {
            Self::Detractor => "detractor",
            Self::Passive => "passive",
            Self::Promoter => "promoter",
        }
    }
}

/// The published numbers of a segment.
struct Published<'a> {
    rows: &'a [Value],
    segment: &'a str,
}

impl Published<'_> {
    /// A number, or why there is none.
    fn number(&self, name: &[(&str, &str)]) -> Result<Estimate> {
        let is_it =
            |row: &&Value| row["segment"] == self.segment && name.iter().all(|(key, value)| row[*key] == *value);
        let words: Vec<&str> = name.iter().map(|(_, value)| *value).collect();
        let words = words.join(" ");
        let row = self.rows.iter().find(is_it).ok_or_else(|| {
            Error::Input(format!("there is no {words} of the segment `{}` in what is published", self.segment))
        })?;
        let number = |key: &str| row[key].as_f64();
        let value = number("value").ok_or_else(|| {
            let status = row["status"].as_str().unwrap_or("unknown");
            Error::Input(format!("{words} of the segment `{}` is not known: {status}", self.segment))
        })?;
        Ok(Estimate { se: number("se"), lo: number("lo"), hi: number("hi"), ..Estimate::census(value) })
    }

    /// The share of answers of three months that are of a band.
    fn share_of(&self, band: Band) -> Result<f64> {
        let detractors = self.number(&[("metric", "detractor_share"), ("window", "T3M")])?.value;
        let promoters = self.number(&[("metric", "nps"), ("window", "T3M")])?.value / 100.0 + detractors;
        Ok(match band {
            Band::Detractor => detractors,
            Band::Passive => 1.0 - detractors - promoters,
            Band::Promoter => promoters,
        })
    }
}

/// What the move goes with, in words.
///
/// # Errors
/// [`Error::Input`] if more would leave a band than are in it, or if a number is not published.
pub(crate) fn answer(summary: &str, what: &What) -> Result<String> {
    let What { segment, from, to, share, service_cost } = what;
    let refuse = |why: String| Err(Error::Input(why).into());
    if from == to {
        return refuse(format!("nobody moves from {0} to {0}", from.name()));
    }
    if !(*share > 0.0 && *share <= 1.0) {
        return refuse(format!("--share is {share}; a share is above 0 and at most 1, as 0.1 for one in ten"));
    }
    if !service_cost.is_finite() {
        return refuse(format!("--service-cost is {service_cost}"));
    }
    let summary: Value = serde_json::from_str(summary).context("the summary is damaged")?;
    let currency = summary["currency"].as_str().unwrap_or_default();
    let rows = summary["estimates"].as_array().context("the summary has no estimates")?;
    let published = Published { rows, segment };
    let active = published.number(&[("metric", "active_customers"), ("window", "T12M")])?.value;
    let observed = published.share_of(*from)?;
    if *share > observed {
        return refuse(format!(
            "--share is {share}, but only {observed:.3} of the answers of three months are of {}s: more cannot leave",
            from.name()
        ));
    }
    let customers = active * share;
    let worth = |metric: &str| {
        let of =
            |band: Band| published.number(&[("metric", metric), ("method", "standardised"), ("band", band.name())]);
        Ok::<_, anyhow::Error>(moved(customers, of(*from)?, of(*to)?, *service_cost))
    };
    let say = |change: Estimate| {
        let money = |value| figure(value, "money", currency);
        match change.lo.zip(change.hi) {
            Some((lo, hi)) => format!("{} (95 % interval {} to {})", money(change.value), money(lo), money(hi)),
            None => format!("{} (no interval)", money(change.value)),
        }
    };
    Ok(format!(
        "{period}, {segment}: {customers} of {active} active customers from {from} to {to}, at {cost} of service cost
net value of twelve months     {capped}
without caps on large amounts  {raw}
Grade E: an association, not what a programme would bring. It assumes that moved customers behave like those already there.
Values of customers by band are standardised by spend before their answer{and_segment}; intervals are normal and take the cost as known.
",
        period = summary["period"].as_str().unwrap_or_default(),
        customers = figure(customers, "count", currency),
        active = figure(active, "count", currency),
        from = from.name(),
        to = to.name(),
        cost = figure(*service_cost, "money", currency),
        capped = say(worth("clv_12m")?),
        raw = say(worth("clv_12m_raw")?),
        and_segment = if segment == "(all)" { " and by segment" } else { "" },
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn summary() -> String {
        let row = |metric: &str, window: &str, value: f64| json!({"metric": metric, "window": window, "segment": "b2b", "value": value, "status": "ok"});
        let band = |metric: &str, band: &str, value: f64, se: f64| json!({"metric": metric, "method": "standardised", "segment": "b2b", "band": band, "value": value, "se": se});
        let rows = [
            row("active_customers", "T12M", 1000.0),
            row("detractor_share", "T3M", 0.25),
            row("nps", "T3M", 15.0),
            band("clv_12m", "detractor", 80.0, 3.0),
            band("clv_12m", "passive", 110.0, 4.0),
            band("clv_12m_raw", "detractor", 90.0, 6.0),
            band("clv_12m_raw", "passive", 130.0, 8.0),
            json!({"metric": "clv_12m", "method": "standardised", "segment": "b2b", "band": "promoter", "status": "insufficient_n"}),
        ];
        json!({"period": "2024-12", "currency": "EUR", "estimates": rows}).to_string()
    }

    fn what(from: Band, to: Band, share: f64) -> What {
        What { segment: "b2b".to_owned(), from, to, share, service_cost: 500.0 }
    }

    #[test]
    fn customers_moved_times_the_gap_less_the_cost() {
        let said = answer(&summary(), &what(Band::Detractor, Band::Passive, 0.1)).unwrap();
        // 100 · 30 - 500, with an error of 100 · 5; raw 100 · 40 - 500 with 100 · 10.
        assert!(said.contains("2,500.00 EUR (95 % interval 1,520.02 EUR to 3,479.98 EUR)"), "{said}");
        assert!(said.contains("3,500.00 EUR (95 % interval 1,540.04 EUR to 5,459.96 EUR)"), "{said}");
        assert!(
            said.contains("Grade E") && said.contains("assumes that moved customers behave like those already there")
        );
        assert!(said.contains("100 of 1,000 active customers from detractor to passive, at 500.00 EUR"), "{said}");
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_reason() {
        let refused = |what: What, why: &str| {
            let error = answer(&summary(), &what).unwrap_err();
            assert!(matches!(error.downcast_ref(), Some(Error::Input(_))), "{error}");
            assert!(error.to_string().contains(why), "{error}");
        };
        refused(what(Band::Detractor, Band::Passive, 0.26), "only 0.250 of the answers");
        // Promoters are 0.15 + 0.25, passives 0.35.
        refused(what(Band::Promoter, Band::Passive, 0.41), "only 0.400");
        refused(what(Band::Passive, Band::Detractor, 0.36), "only 0.350");
        refused(what(Band::Passive, Band::Passive, 0.1), "nobody moves");
        refused(
            what(Band::Passive, Band::Promoter, 0.1),
            "clv_12m standardised promoter of the segment `b2b` is not known: insufficient_n",
        );
        refused(What { segment: "x".to_owned(), ..what(Band::Passive, Band::Detractor, 0.1) }, "of the segment `x`");
        refused(what(Band::Passive, Band::Detractor, 0.0), "above 0");
        refused(What { service_cost: f64::NAN, ..what(Band::Passive, Band::Detractor, 0.1) }, "--service-cost");
    }
}
