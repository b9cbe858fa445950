//! First contacts that needed no second: as if each stood for itself, and beside it with repeats by the same customer
//! taken into account.

use stats::proportion::{wilson, wilson_clustered};

use super::{Scope, Sums};
use crate::error::Result;
use crate::estimates::{PROPORTION, Row};

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let row = |method| {
        let row = Row::new("kpi", "first_contact_resolution", "share", method).window("T3M");
        Ok::<_, crate::Error>(row.of(sums.integer("responses")?, sums.integer("customers")?))
    };
    let plain = wilson(sums.count("score")?, sums.count("responses")?);
    let clustered = wilson_clustered(&sums.scores("customers")?).map(|(share, _)| share);
    Ok(vec![
        scope.needs(3, row("wilson")?.statistic(plain, scope.guard(PROPORTION))?),
        scope.needs(3, row("wilson_cluster")?.statistic(clustered, scope.guard(PROPORTION))?),
    ])
}
