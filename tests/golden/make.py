#!/usr/bin/env python3
"""What a small lake's numbers are: python3 make.py [lake]

Writes expected.csv next to this file; with `lake`, first lake/ and cxroi.toml (world.py says what is in them). The numbers
are computed from the lake's files, row by row, with pandas, statsmodels and scipy; no sums, SQL or code of the project have
a part in it. In expected.csv a statistic without a value has the one field `status`; an empty `expected` is a null: no
interval, because there is no spread or only one customer. Section marks are those of the project's method: 1.7 is the ratio
of two sums over customers, 12.14 says which of two copies stays.

The committed files were made with Python 3.11.7, pandas 2.3.3, pyarrow 26.0.1, numpy 2.4.6, scipy 1.17.1,
statsmodels 0.15.0.
"""
import calendar
import csv
import datetime
import hashlib
import itertools
import json
import sys
from decimal import ROUND_HALF_UP, Decimal
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import scipy.linalg
import scipy.optimize
import scipy.stats
import statsmodels.api as sm
from statsmodels.duration.survfunc import SurvfuncRight, survdiff
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

sys.dont_write_bytecode = True
from world import AS_OF, CUSTOMERS, HERE, INTERACTIONS, MONEY, SALES, START, ZONE, make_lake  # noqa: E402

BANDS = ["detractor", "passive", "promoter"]
CONTRASTS = [("promoter", "detractor"), ("passive", "detractor"), ("promoter", "passive")]
# Outcomes of the regressions on a score, by the column of answer_months, each with its lag.
OUTCOMES = {f"revenue_{lag}": ("revenue", lag) for lag in range(7)}
OUTCOMES |= {name: (name, "") for name in ("revenue_6m", "placebo", "excess", "active_6m", "service_cost_6m")}
# What there is of a programme without anybody to compare, by method and outcome: why there is none.
EFFECTS = [
    ("did_net_value did_net_value_raw pretrend_slope did_net_value_trend_adjusted", "welch", "net_value"),
    ("did_revenue", "welch", "revenue"), ("did_service_saving", "welch", "service_saving"), ("did_active", "welch", "active"),
    ("did_nps", "cluster", "nps"), ("pretrend_joint", "wald", "net_value"), ("did_active", "stratified", "active"),
    ("did_net_value did_net_value_raw", "stratified", "net_value"),
    ("treated_share_kept measured_share initiative_value initiative_value_raw initiative_net initiative_net_raw roi roi_raw npv "
     "npv_raw roi_confidence breakeven_effect mde80 payback_month cost_per_retained_customer", "stratified", ""),
]
IN_WAVES = [("did_net_value did_net_value_raw", "staggered", "net_value")]      # of customers who start in different months
OF_LISTED = [("expected_regression_to_mean", "test_retest", "nps")]             # of customers whom somebody selected


def read(feed, columns, time=None):
    """A feed as a frame, money as whole ten-thousandths, with the local month."""
    frame = pq.read_table(HERE / "lake" / feed).to_pandas()[list(columns)]
    for name, kind in columns.items():
        if kind == MONEY:
            frame[name] = [pd.NA if cell is None else int(cell.scaleb(4)) for cell in frame[name]]
            frame[name] = frame[name].astype("Int64")
    if time:
        local = pd.to_datetime(frame[time], utc=True).dt.tz_convert(ZONE)
        frame["month"] = local.dt.year * 12 + local.dt.month - 1
    return frame


def unique(frame, columns, identity):
    """12.14: of rows with one identity the one that sorts first by all columns stays; and how many did not."""
    named = frame[identity].notna().all(axis=1)
    kept = frame[named].sort_values(list(columns), na_position="last", kind="stable").drop_duplicates(identity)
    return pd.concat([kept, frame[~named]]), int(named.sum()) - len(kept)


def indistinct(frame, columns, identity):
    """Rows without an identity that repeat another in every column."""
    unnamed = frame[frame[identity].isna().any(axis=1)]
    return int(unnamed.duplicated(list(columns)).sum())


def interval(value, se, df):
    """A t interval; nulls where there is no spread, or only one customer."""
    if not (df >= 1 and se > 1e-12):
        return dict(value=value, se=None, df=None, lo=None, hi=None)
    half = scipy.stats.t.ppf(0.975, df) * se
    return dict(value=value, se=se, df=df, lo=value - half, hi=value + half)


def clustered(y, x, who, weights=1.0):
    """The last coefficient of a regression with errors clustered by customer, t with customers - 1 degrees of freedom."""
    groups, names = pd.factorize(np.asarray(who))
    model = sm.WLS(np.asarray(y, float), x, weights)
    if len(names) == 1:                                             # no spread between customers to be seen
        return model.fit().params[-1], 0.0, 0, None
    fit = model.fit(cov_type="cluster", cov_kwds=dict(groups=groups), use_t=True)
    return fit.params[-1], fit.bse[-1], fit.df_resid_inference, fit.pvalues[-1]


def mean(y, who):
    if len(y) == 0:
        return dict(status="insufficient_n")
    value, se, df, _ = clustered(y, np.ones((len(y), 1)), who)
    return interval(value, se, df) | dict(n=len(y), customers=who.nunique())


def change(now, before):
    if len(now) == 0 or len(before) == 0:
        return dict(status="insufficient_n")
    both = pd.concat([now.assign(now=1.0), before.assign(now=0.0)])
    value, se, df, p = clustered(both.score, sm.add_constant(both.now.to_numpy()), both.customer_id)
    result = interval(value, se, df)
    return result | dict(p=p if result["se"] is not None else None, n=len(both), customers=both.customer_id.nunique())


def ratio(a, b, shift=0.0):
    """1.7: the ratio of two sums over customers; equals a regression of a/b on a constant with weights b."""
    a, b, customers = a.to_numpy(float), b.to_numpy(float), len(a)
    if b.sum() <= 0:
        return dict(status="degenerate" if b.sum() < 0 else "insufficient_n")
    value = a.sum() / b.sum()
    se = np.sqrt(customers / (customers - 1) * ((a - value * b) ** 2).sum()) / b.sum() if customers > 1 else 0.0
    if customers > 1 and (b > 0).all():
        fitted = clustered(a / b, np.ones((customers, 1)), np.arange(customers), b)
        assert np.allclose(fitted[:3], (value, se, customers - 1), rtol=1e-10)
    return interval(value + shift, se, customers - 1) | dict(n=customers, customers=customers)


def share(successes, base):
    if base == 0:
        return dict(status="insufficient_n")
    lo, hi = proportion_confint(successes, base, method="wilson")
    return dict(value=successes / base, lo=max(lo, 0.0), hi=min(hi, 1.0), n=base, customers=base)


def share_of_rows(y, who):
    """1.8: a share of rows, of which a customer may have several: Wilson on the effective number of rows."""
    n, groups = len(y), who.nunique()
    if n == 0:
        return dict(status="insufficient_n")
    value, se, _, _ = clustered(y, np.ones((n, 1)), who)
    spread = se > 1e-12
    effective = n / max(1.0, se ** 2 / (value * (1 - value) / n)) if spread else groups
    lo, hi = proportion_confint(value * effective, effective, method="wilson")
    return dict(value=value, se=se if spread else None, lo=max(lo, 0.0), hi=min(hi, 1.0), n=n, customers=groups)


def growth(now, before, customers):
    if before <= 0:
        return dict(status="degenerate" if before < 0 else "insufficient_n")
    return dict(value=now / before - 1, customers=customers)


def windows(lines, months):
    """Per customer: net amount before and now, active before and now, the first active month of all."""
    now = lines[lines.month > AS_OF - months]
    before = lines[(lines.month > AS_OF - 2 * months) & (lines.month <= AS_OF - months)]
    bought = lines[lines.amount > 0]
    who = sorted(lines.customer_id.unique())
    net = lambda rows: rows.groupby("customer_id").amount.sum().reindex(who, fill_value=0).astype("int64")
    active = lambda rows: pd.Series(who, who).isin(rows.customer_id[rows.amount > 0])
    return pd.DataFrame(dict(b=net(before), a=net(now), A0=active(before), A1=active(now),
                             first=bought.groupby("customer_id").month.min().reindex(who)), index=who)


def first_contacts(contacts):
    """The window's contacts that come first in their matter, each with whether it stayed the only one (a week = 7 x 24 h)."""
    rows = contacts.assign(at=pd.to_datetime(contacts.occurred_at, utc=True), place=contacts.touchpoint.fillna("(null)"))
    rows = rows.sort_values(["customer_id", "place", "at"], kind="stable")
    at, week = rows.groupby(["customer_id", "place"])["at"], pd.Timedelta(days=7)
    repeats, repeated = at.diff() <= week, -at.diff(-1) <= week     # without a neighbour: false
    rows = rows.assign(resolved=np.where(repeated, 0.0, 1.0))[~repeats]
    return rows[rows.month.between(AS_OF - 2, AS_OF)]


def panel(rows, column, customers):
    """Customer by month since START, in ten-thousandths."""
    cells = rows.assign(v=rows[column].astype(float)).pivot_table(index="customer_id", columns="month", values="v", aggfunc="sum")
    return cells.reindex(index=customers, columns=range(START, AS_OF + 1)).fillna(0.0)


def capped(cells):
    """1.4: a customer's months within the 99th percentile of those that are positive."""
    high = np.quantile(cells.values[cells.values > 0], 0.99, method="inverted_cdf")
    return cells.clip(-high, high)


def lifetime(value, index):
    """Discounted mean net value of the twelve months after the index month, each over the customers known that long."""
    rate, total = 1.10 ** (1 / 12) - 1, 0.0
    for k in range(1, 13):
        known = index[index + k <= AS_OF]
        if len(known) == 0:
            return None
        cells = [value.at[who, month + k] if who in value.index else 0.0 for who, month in known.items()]
        total += np.mean(cells) * (1 + rate) ** -k
    return total / 10_000


def programmes():
    """The programmes, with their months. One that is delivered twice counts once."""
    rows = json.loads((HERE / "lake/initiatives.json").read_text(encoding="utf-8"))
    found = []
    for row in {json.dumps(row, sort_keys=True): row for row in rows}.values():
        days = [datetime.date.fromisoformat(row.get(name, "9999-12-31")) for name in ("starts_on", "ends_on")]
        start, end = (day.year * 12 + day.month - 1 for day in days)
        found.append(SimpleNamespace(name=row["initiative"], given=row.get, days=days, start=start, end=min(end, AS_OF)))
    return found, len(rows) - len(found)


def running_cost(programme, month):
    """The monthly amount for the days of the month on which the programme ran."""
    year, number = month // 12, month % 12 + 1
    days = calendar.monthrange(year, number)[1]
    active = sum(programme.days[0] <= datetime.date(year, number, k + 1) <= programme.days[1] for k in range(days))
    return Decimal(str(programme.given("cost_per_month", 0))) * active / days


def yearly_cost(programmes):
    months, total = range(AS_OF - 11, AS_OF + 1), 0
    for one in programmes:
        total += sum(running_cost(one, month) for month in months)
        total += Decimal(str(one.given("one_off_cost", 0))) * (one.start in months)
    return float(total)


def of_acquisition(put, customers, contacts, lines, index, values, programme_cost):
    """What winning customers costs, against what they bring; a programme's cost is of no segment."""
    won = customers[customers.acquired.between(AS_OF - 11, AS_OF) & customers.acquisition_cost.notna()]
    cac = mean(won.acquisition_cost.astype(float) / 10_000, won.customer_id)
    put("kpi", "cac", "T12M", "mean", cac)
    for metric, value in values.items():
        worth = lifetime(value, index)
        known = cac.get("value", 0) > 0 and worth is not None
        fields = dict(value=worth / cac["value"], n=len(index)) if known else dict(status="insufficient_n")
        put("kpi", metric, "T12M", "mean", fields)
    if programme_cost is not None:
        g = windows(lines, 12)
        service = contacts.service_cost[contacts.month.between(AS_OF - 11, AS_OF)].sum() / 10_000
        keeping = (service + programme_cost) / (g.A0 & g.A1).sum()
        put("kpi", "acquisition_to_retention_cost", "T12M", "mean", dict(value=cac["value"] / keeping))


def of_segment(put, answers, contacts, lines, unnamed):
    """Every number of one segment; `unnamed` are the sales without a customer, which only (all) has."""
    now, before = answers[answers.month > AS_OF - 3], answers[answers.month.between(AS_OF - 5, AS_OF - 3)]
    put("kpi", "nps", "T3M", "cluster", mean(now.score, now.customer_id), "nps")
    put("kpi", "nps", "T3M_prev", "cluster", mean(before.score, before.customer_id), "nps")
    put("kpi", "nps_change", "T3M", "cluster", change(now, before), "nps")
    first = first_contacts(contacts)
    put("kpi", "first_contact_resolution", "T3M", "wilson",
        share(int(first.resolved.sum()), len(first)) | (dict(customers=first.customer_id.nunique()) if len(first) else {}))
    put("kpi", "first_contact_resolution", "T3M", "wilson_cluster", share_of_rows(first.resolved, first.customer_id))
    contacts = contacts[contacts.month.between(AS_OF - 2, AS_OF)]
    put("kpi", "cost_per_contact", "T3M", "ratio", mean(contacts.service_cost.astype(float) / 10_000, contacts.customer_id))

    low = now.customer_id[now.nps <= 6]                             # 8: what they spent, for nobody to take for a loss
    exposed = lines[lines.customer_id.isin(low) & (lines.month > AS_OF - 12)]
    exposure = dict(value=int(exposed.amount.sum()) / 10_000, customers=exposed.customer_id.nunique())
    put("value", "gross_exposure", "T12M", "census", exposure if len(now) else dict(status="insufficient_n"), "nps", "revenue")

    every = pd.concat([lines, unnamed])
    spent = lambda first, last: int(every.amount[every.month.between(first, last)].sum())
    buyers = lambda months: lines.customer_id[lines.month > AS_OF - months].nunique()
    for window, months in (("MONTH", 1), ("T3M", 3), ("T12M", 12)):
        amount = spent(AS_OF - months + 1, AS_OF)
        put("kpi", "revenue", window, "census", dict(value=amount / 10_000, customers=buyers(months)))
    for window, method, months, back in (("T3M", "census", 3, 3), ("T3M", "census_yoy", 3, 12), ("T12M", "census", 12, 12)):
        base = spent(AS_OF - back - months + 1, AS_OF - back)
        put("kpi", "revenue_growth", window, method, growth(spent(AS_OF - months + 1, AS_OF), base, buyers(months)))

    g = windows(lines, 6)
    base, both = g[g.A0], g[g.A0 & g.A1]
    put("kpi", "nrr", "T6M", "ratio", ratio(base.a, base.b))
    put("kpi", "grr", "T6M", "ratio", ratio(base[["a", "b"]].min(axis=1).clip(lower=0), base.b.clip(lower=0)))
    put("kpi", "constant_customer_growth", "T6M", "ratio", ratio(both.a, both.b, shift=-1.0))
    half = unnamed[unnamed.month > AS_OF - 6], unnamed[unnamed.month.between(AS_OF - 11, AS_OF - 6)]
    nobody = half[1].amount.sum(), half[0].amount.sum()             # before, now
    refunds = g.a.where(~g.A1, 0) - g.b.where(~g.A0, 0)
    change_ = both.a - both.b
    new, back = g[~g.A0 & g.A1 & (g["first"] > AS_OF - 6)], g[~g.A0 & g.A1 & (g["first"] <= AS_OF - 6)]
    churned = g[g.A0 & ~g.A1]
    bridge = dict(
        base=(g.b.sum() + nobody[0], ((g.b != 0) | g.A0).sum()), churned=(churned.b.sum(), len(churned)),
        expansion=(change_.clip(lower=0).sum(), (change_ >= 0).sum()),
        contraction=((-change_).clip(lower=0).sum(), (change_ < 0).sum()),
        new=(new.a.sum(), len(new)), reactivated=(back.a.sum(), len(back)),
        residual=(refunds.sum() + nobody[1] - nobody[0], (refunds != 0).sum()),
        current=(g.a.sum() + nobody[1], ((g.a != 0) | g.A1).sum()))
    part = {name: int(amount) for name, (amount, _) in bridge.items()}
    assert part["current"] == (part["base"] - part["churned"] + part["expansion"] - part["contraction"] + part["new"]
                               + part["reactivated"] + part["residual"])
    for name, (_, customers) in bridge.items():
        put("bridge", name, "T6M", "census", dict(value=part[name] / 10_000, customers=int(customers)))

    g = windows(lines, 3)
    base, kept = int(g.A0.sum()), int((g.A0 & g.A1).sum())
    put("kpi", "retention", "T3M", "wilson", share(kept, base))
    put("kpi", "churn", "T3M", "wilson", share(base - kept, base))
    came = g[~g.A0 & g.A1]
    new = int((came["first"] > AS_OF - 3).sum())
    for metric, count in dict(retained_customers=kept, churned_customers=base - kept, new_customers=new,
                              reactivated_customers=len(came) - new).items():
        put("kpi", metric, "T3M", "census", dict(value=count, customers=count))


def monthly(answers):
    """A customer's mean score of each month with an answer."""
    return answers.groupby(["customer_id", "month"], as_index=False).nps.mean().rename(columns=dict(nps="x"))


def around(cells, rows, first, last):
    """The sum of the months from `first` to `last` after each row's."""
    at, month = cells.index.get_indexer(rows.customer_id), rows.month.to_numpy() - START
    return sum(cells.to_numpy()[at, month + k] for k in range(first, last + 1))


def band(x):
    return np.where(x >= 9, "promoter", np.where(x <= 6, "detractor", "passive"))


def answer_months(answers, since, revenue, cost, orders, contacts, raw):
    """3.1: one sample for all lags, and what was spent around each answer. The spend group (3.6) is of first answers."""
    rows = monthly(answers)
    rows["tenure"] = rows.month - rows.customer_id.map(since)
    rows = rows[rows.month.between(START + 6, AS_OF - 6) & (rows.tenure >= 6)]
    rows = rows.assign(tenure=np.digitize(rows.tenure, [12, 24]), z=around(revenue, rows, -3, -1) / 30_000,
                       contacts=around(contacts, rows, 0, 0), revenue_6m_raw=around(raw, rows, 1, 6) / 60_000,
                       **{f"revenue_{lag}": around(revenue, rows, lag, lag) / 10_000 for lag in range(7)},
                       revenue_6m=around(revenue, rows, 1, 6) / 60_000, placebo=around(revenue, rows, -6, -4) / 30_000,
                       active_6m=np.where(around(orders, rows, 1, 6) > 0, 1.0, 0.0),
                       service_cost_6m=around(cost, rows, 1, 6) / 60_000)
    rows = rows.assign(excess=rows.revenue_6m - rows.placebo, first=~rows.duplicated("customer_id"), band=band(rows.x))
    split = np.quantile(rows.z[rows["first"] & (rows.z > 0)], 0.5, method="inverted_cdf")
    return rows.assign(split=split, spend=np.where(rows.z <= 0, 0, np.where(rows.z <= split, 1, 2)))


def answer_changes(answers, revenue, contacts):
    """3.4: from one month with an answer to the next, two months later or more; revenue before history is not known."""
    rows = monthly(answers)
    rows = rows.assign(contacts=around(contacts, rows, 0, 0))
    before = rows.groupby("customer_id")[["month", "x", "contacts"]].shift()
    rows = rows.assign(before=before.month, change=rows.x - before.x, change_of_contacts=rows.contacts - before.contacts)
    rows = rows[(rows.month - rows.before >= 2) & (rows.month <= AS_OF - 3)].astype(dict(before=int))
    spent = lambda rows, lag: around(revenue, rows, lag, lag) / 10_000
    of_both = lambda rows, lag: spent(rows, lag) - spent(rows.assign(month=rows.before), lag)
    for lag in range(-3, 4):
        there = rows.before + lag >= START
        rows.loc[there, f"revenue_{lag}"] = of_both(rows[there], lag)
    return rows


def stays(answers, index, orders):
    """7.2: months from the first answer to the first of three without an order, or until that is not known any more."""
    first = monthly(answers)
    first = first[first.month == first.customer_id.map(index)]
    rows = []
    for who, month, x in first[["customer_id", "month", "x"]].itertuples(index=False):
        last = AS_OF - 2 - month
        silent = (k for k in range(1, last + 1) if not (orders.loc[who, month + k:month + k + 2] > 0).any())
        gone = next(silent, None)
        if last >= 1:
            rows.append((who, band(x).item(), gone or last, int(gone is not None)))
    return pd.DataFrame(rows, columns=["customer_id", "band", "months", "gone"])


def driver_scores(answers, revenue):
    """5: answers of twelve months by driver, one row an answer and kind, with the outcomes of its customer."""
    answers = answers[answers.month > AS_OF - 12]
    spent = revenue.loc[:, AS_OF - 11:].sum(axis=1) / 120_000
    rows = []
    for kind in ("channel", "touchpoint"):
        other = answers[answers[kind].isna()].groupby("customer_id").nps.mean()     # about no driver of the kind
        rows.append(pd.DataFrame(dict(customer_id=answers.customer_id, kind=kind, driver=answers[kind], x=answers.nps,
                                      revenue=answers.customer_id.map(spent), nps=answers.customer_id.map(other))))
    return pd.concat(rows)[lambda row: row.driver.notna()]


def levels(*columns):
    """A basis of a constant and the levels of each factor; and how many columns these are if each leaves out its first."""
    dummies = [pd.get_dummies(column, dtype=float).to_numpy() for column in columns]
    together = np.column_stack([np.ones(len(columns[0])), *dummies])
    basis = scipy.linalg.orth(together) if len(together) else together
    return basis, 1 + sum(max(part.shape[1] - 1, 0) for part in dummies)


def regressed(y, x, who):
    """Least squares with errors clustered by customer, or why not: k is the number of coefficients that are fitted (1.6)."""
    if len(y) == 0:
        return "insufficient_n"
    if np.linalg.matrix_rank(x) < x.shape[1]:
        return "collinear"
    if len(y) <= x.shape[1] or who.nunique() < 2:
        return "insufficient_n"
    return sm.OLS(y.to_numpy(), x).fit(cov_type="cluster", cov_kwds=dict(groups=pd.factorize(who)[0]), use_t=True)


def coefficient(fit, at=-1, sign=1.0):
    if isinstance(fit, str):
        return dict(status=fit)
    found = interval(sign * fit.params[at], fit.bse[at], fit.df_resid_inference)
    return found | dict(p=fit.pvalues[at] if found["se"] is not None else None) | size(fit)


def size(fit):
    return dict(n=int(fit.nobs), customers=int(fit.df_resid_inference) + 1)


def false_discoveries(p):
    """1.9: q of a family of which all p-values exist."""
    return multipletests(p, method="fdr_bh")[1] if len(p) and None not in p else [None] * len(p)


def of_association(put, rows, everybody, score="nps", x="x"):
    """3.2, 3.3: what a point of the score goes with, all else equal; the lags are a family of everybody's (1.9, F1)."""
    basis, _ = levels(*([rows.segment] if everybody else []), rows.tenure, rows.month)
    x, slopes = np.column_stack([basis, rows.z, rows[x]]), {}
    for name, (outcome, lag) in OUTCOMES.items():
        named = dict(score=score, outcome=outcome, lag=str(lag))
        fit = regressed(rows[name], x, rows.customer_id)
        slopes[name], robust, prior = coefficient(fit), coefficient(fit), coefficient(fit)
        if not isinstance(fit, str):
            robust = dict(value=fit.params[-1], se=fit.model.fit(cov_type="HC1").bse[-1])
            prior = dict(value=fit.params[-2])
        put("association", "slope", "", "ancova_hc1", robust, **named)
        put("association", "slope_prior_spend", "", "ancova", prior, **named)
    raw = regressed(rows.revenue_6m_raw, x, rows.customer_id)       # 8: without caps; what is held equal has them
    put("association", "slope_raw", "", "ancova", dict(status=raw) if isinstance(raw, str) else dict(value=raw.params[-1]) | size(raw),
        score, "revenue_6m")
    q = false_discoveries([slopes[f"revenue_{lag}"].get("p") for lag in range(7)]) if everybody else [None] * 7
    for (name, (outcome, lag)), slope in zip(OUTCOMES.items(), slopes.values()):
        slope |= dict(q=q[lag]) if lag != "" and q[lag] is not None else {}
        put("association", "slope", "", "ancova", slope, score, outcome, lag=str(lag))


def of_changes(put, rows, score="nps", change="change"):
    """3.4: what a change of the score goes with. The lags of a segment are a family of their own (12.12)."""
    far = rows[(rows.month - rows.before >= 5) & (rows.before >= START + 3)]
    for method, own, lags in (("first_difference", rows, range(4)), ("first_difference_gap5", far, range(-3, 4))):
        if score == "service_contacts" and method == "first_difference":      # of those five months apart alone
            continue
        basis, columns = levels(own.before, own.month)
        x = np.column_stack([basis, own[change]])
        fits = [regressed(own[f"revenue_{lag}"], x, own.customer_id) for lag in lags]
        slopes = [coefficient(fit) for fit in fits]
        for lag, fit, slope, q in zip(lags, fits, slopes, false_discoveries([slope.get("p") for slope in slopes])):
            named = dict(score=score, outcome="revenue", lag=str(lag))
            known = not isinstance(fit, str)
            put("association", "slope", "", method, slope | (dict(q=q) if known else {}), **named)
            for metric, count in dict(model_columns=columns + 1, model_rank=basis.shape[1] + 1).items():
                put("association", metric, "", method, dict(value=count) if known else slope, **named)


def correlation(x, y, ranks=False):
    """3.5: Pearson with Fisher's interval, or Spearman with that of Bonett and Wright."""
    if len(x) < 3:
        return dict(status="insufficient_n")
    if x.nunique() == 1 or y.nunique() == 1:
        return dict(status="degenerate")
    found = (scipy.stats.spearmanr if ranks else scipy.stats.pearsonr)(x, y)
    r, lo, hi = found.statistic, None, None
    if len(x) > 3 and abs(r) < 1:
        half = scipy.stats.norm.ppf(0.975) * np.sqrt((1 + r ** 2 / 2 if ranks else 1.0) / (len(x) - 3))
        lo, hi = np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)
        assert ranks or np.allclose(found.confidence_interval(), (lo, hi), rtol=1e-10)
    return dict(value=r, lo=lo, hi=hi, p=found.pvalue, n=len(x), customers=len(x))


def of_first_answers(put, rows, everybody):
    """3.5, 3.6: one answer a customer; bands as they are, and with the same mix of segments and earlier spend in each."""
    named, few = dict(score="nps", outcome="revenue_6m"), dict(status="insufficient_n")
    put("association", "pearson", "", "fisher", correlation(rows.x, rows.revenue_6m), **named)
    put("association", "spearman", "", "bonett_wright", correlation(rows.x, rows.revenue_6m, ranks=True), **named)
    if everybody:
        put("association", "spend_split", "", "type1_quantile", dict(value=rows.split.iloc[0], n=len(rows)), "nps")
    y = {name: rows.revenue_6m[rows.band == name] for name in BANDS}
    for name, its in y.items():
        fields = interval(its.mean(), its.std() / np.sqrt(len(its)), len(its) - 1) | dict(n=len(its))
        put("association", "band_mean", "", "crude", fields if len(its) else few, band=name, **named)
    strata = rows.groupby(["segment", "spend", "band"]).revenue_6m.agg(["size", "mean", "var"]).unstack()
    strata = strata.reindex(columns=pd.MultiIndex.from_product([["size", "mean", "var"], BANDS]))
    strata = strata[(strata["size"] >= 2).all(axis=1)]
    kept = strata["size"].to_numpy().sum()
    weight = strata["size"].sum(axis=1) / kept
    value, variance = weight @ strata["mean"], weight ** 2 @ (strata["var"] / strata["size"])

    def standardised(value, variance, n):
        half = scipy.stats.norm.ppf(0.975) * np.sqrt(variance)
        fields = dict(value=value, se=np.sqrt(variance), lo=value - half, hi=value + half, n=n)
        return fields if len(strata) else few

    for name in BANDS:
        fields = standardised(value[name], variance[name], len(y[name]))
        put("association", "band_mean", "", "standardised", fields, band=name, **named)
    for one, other in CONTRASTS:
        fields = standardised(value[one] - value[other], variance[one] + variance[other], len(rows))
        put("association", "band_contrast", "", "standardised", fields, band=f"{one}-{other}", **named)
    covered = dict(value=kept / len(rows), n=len(rows)) if len(rows) else few
    put("association", "band_coverage", "", "standardised", covered, **named)


def of_asymmetry(put, rows, everybody):
    """4: whether a point below 7.5 goes with more than one above it."""
    def write(metric, fields, method="ancova"):
        put("asymmetry", metric, "", method, fields, "nps", "revenue_6m")

    def test(fit, one, other):
        if isinstance(fit, str):
            return dict(status=fit)
        found = fit.t_test(np.r_[np.zeros(len(fit.params) - 2), one, other])
        return dict(value=np.ravel(found.tvalue)[0], p=np.ravel(found.pvalue)[0], df=fit.df_resid_inference) | size(fit)

    basis, _ = levels(*([rows.segment] if everybody else []), rows.tenure, rows.month)
    model = lambda one, other: regressed(rows.revenue_6m, np.column_stack([basis, rows.z, one, other]), rows.customer_id)
    fit = model(np.minimum(rows.x - 7.5, 0), np.maximum(rows.x - 7.5, 0))
    write("slope_below", coefficient(fit, -2))
    write("slope_above", coefficient(fit))
    write("slope_cov", dict(status=fit) if isinstance(fit, str) else dict(value=fit.cov_params()[-2, -1]) | size(fit))
    write("slope_ratio_test_1", test(fit, 1, -1))
    write("slope_ratio_test_2", test(fit, 1, -2))
    write("slope_ratio", dict(status=fit) if isinstance(fit, str) else fieller(fit), "fieller")
    fit = model(np.where(rows.x <= 6, 1.0, 0.0), np.where(rows.x >= 9, 1.0, 0.0))
    write("penalty", coefficient(fit, -2, sign=-1.0))
    write("reward", coefficient(fit))
    write("band_ratio_test_2", test(fit, -1, -2))


def fieller(fit):
    """4: the ratio of the last coefficient but one to the last, with the interval of all that a test does not refuse."""
    (below, above), covariance = fit.params[-2:], fit.cov_params()[-2:, -2:]
    t = scipy.stats.t.ppf(0.975, fit.df_resid_inference)
    a, b, c = (product - t ** 2 * covariance[at] for product, at in
               ((above ** 2, (1, 1)), (below * above, (0, 1)), (below ** 2, (0, 0))))
    if a <= 0:
        return dict(status="unbounded")
    root = np.sqrt(b ** 2 - a * c)
    return dict(value=below / above, df=fit.df_resid_inference, lo=(b - root) / a, hi=(b + root) / a) | size(fit)


def shares(frame):
    """5: of the correlations of the first column (pairwise complete), the mean gain in R2 of each other, and R2; or why not."""
    matrix, drivers = frame.corr(min_periods=3).to_numpy(), range(1, frame.shape[1])
    if np.isnan(matrix).any():
        few = frame.notna().astype(int)
        return "insufficient_n" if (few.T @ few).to_numpy().min() < 3 else "degenerate"
    if np.linalg.eigvalsh(matrix[1:, 1:]).min() <= 1e-6:
        return "collinear"
    explained = lambda of: matrix[0, of] @ np.linalg.solve(matrix[np.ix_(of, of)], matrix[of, 0]) if of else 0.0
    if explained([*drivers]) > 1:                                   # as only pairwise correlations can
        return "collinear"
    orders = [*itertools.permutations(drivers)]
    gain = lambda order, at: explained([*order[:at + 1]]) - explained([*order[:at]])
    return np.array([*(np.mean([gain(order, order.index(j)) for order in orders]) for j in drivers), explained([*drivers])])


def jackknifed(frame):
    """1.6 II: shares with errors from leaving out one of 64 groups of customers at a time."""
    found = shares(frame)
    group = np.array([int(hashlib.md5(who.encode()).hexdigest()[:2], 16) % 64 for who in frame.index])
    without = [shares(frame[group != k]) for k in range(64)]
    status = next((one for one in (found, *without) if isinstance(one, str)), None)
    if status:
        return [dict(status=status)] * frame.shape[1]
    without = np.array(without)
    errors = np.sqrt(63 / 64 * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
    return [interval(value, se, 63) for value, se in zip(found, errors)]


def of_drivers(put, rows):
    """5: how each channel and touchpoint is scored, and what the scores go with. R2 of the channels names no driver."""
    for kind, rows_of_kind in rows.groupby("kind"):
        for driver, own in rows_of_kind.groupby("driver"):
            put("driver", "driver_mean", "T12M", "cluster", mean(own.x, own.customer_id), "nps", driver=f"{kind}:{driver}")
        means = rows_of_kind.pivot_table(index="customer_id", columns="driver", values="x", aggfunc="mean")
        for outcome in ("revenue", "nps"):
            y = rows_of_kind.groupby("customer_id")[outcome].first()
            known = [driver for driver in means if (means[driver].notna() & y.notna()).any()]
            frame = pd.concat([y, means[known]], axis=1)
            put_drivers(put, kind, outcome, frame, len(means))


def put_drivers(put, kind, outcome, frame, customers):
    def write(metric, method, fields, driver):
        put("driver", metric, "T12M", method, fields, "nps", outcome, driver=driver)

    def pair(one, other):
        both = frame[[one, other]].dropna()
        return correlation(both[one], both[other])

    drivers = list(frame)[1:]
    name = lambda driver: f"{kind}:{driver}"
    for driver in drivers:
        write("driver_outcome_corr", "pairwise", pair(driver, outcome), name(driver))
    for one, other in itertools.combinations(drivers, 2):
        if outcome == "revenue":
            write("driver_corr", "pairwise", pair(one, other), f"{name(one)}+{name(other)}")
    found = jackknifed(frame) if len(drivers) > 1 else [dict(status="insufficient_n")] * (len(drivers) + 1)
    sized = lambda fields, n: fields if "status" in fields else fields | dict(n=n, customers=n)
    if len(drivers) > 1:
        for driver, fields in zip(drivers, found):
            write("lmg", "lmg", sized(fields, len(frame[[outcome, driver]].dropna())), name(driver))
    write("driver_r2", "lmg", sized(found[-1], customers), "" if kind == "channel" else kind)


def of_survival(put, rows):
    """7.2: who still buys, by band of the first answer."""
    for name in BANDS:
        its = rows[rows.band == name]
        for month in range(1, 13):
            put("survival", "km", "", "kaplan_meier", kaplan_meier(its, month), "nps", band=name, lag=str(month))
    put("survival", "churn_events", "", "kaplan_meier", dict(value=int(rows.gone.sum()), n=len(rows)), "nps")
    test = dict(status="insufficient_n")
    if rows.band.nunique() == 3 and rows.gone.any():
        chi2, p = survdiff(rows.months, rows.gone, rows.band)
        test = dict(value=chi2, df=2, p=p, n=len(rows))
    put("survival", "logrank", "", "logrank", test, "nps")


def kaplan_meier(rows, month):
    """The share after so many months with Greenwood's error on the log-log scale; no interval at 0 and at 1."""
    at_risk = int((rows.months >= month).sum())
    if at_risk == 0:
        return dict(status="insufficient_n")
    curve = SurvfuncRight(rows.months, rows.gone)
    left = np.flatnonzero(curve.surv_times <= month)
    value, lo, hi = curve.surv_prob[left[-1]] if len(left) else 1.0, None, None
    if 0 < value < 1:
        error = curve.surv_prob_se[left[-1]] / value
        lo, hi = (value ** np.exp(sign * scipy.stats.norm.ppf(0.975) * error / np.log(value)) for sign in (-1, 1))
    return dict(value=value, lo=lo, hi=hi, n=at_risk, customers=len(rows))


def of_programmes(put, begun, assignments, cells, orders, touches, answers, segments, since):
    """6: what each programme that began changed for its customers, and what that is worth."""
    for one in begun:
        first = one.start + (one.days[0].day > 1)                   # else the month of the start is left out, and paid for
        one.before, one.after = range(max(one.start - 6, START), one.start), range(first, min(one.end, first + 11) + 1)
        one.early = range(max(2 * one.before.start - one.start, START), one.before.start)
        segment, its = one.given("target_segment"), assignments[assignments.initiative == one.name]
        its = its[its.customer_id.isin(since.index)]                # 12.6: who exists nowhere is left out
        place = {name: one.given("target_" + name) for name in ("channel", "touchpoint")}
        one.whole = segment is not None or any(place.values())
        there = touches[touches.month.isin(one.before) & np.any([touches[name] == at for name, at in place.items() if at], axis=0)]
        treated = segments.index[segments == segment] if segment else its.customer_id[its.arm == "treated"]
        treated = {*(there.customer_id if any(place.values()) else treated)}
        one.held_out = {*its.customer_id[its.arm == "holdout"]}
        one.selected = not one.whole and not one.given("randomised", False) and len(its) > 0
        day = pd.to_datetime(its.starts_on)
        began = (day.dt.year * 12 + day.dt.month - 1).fillna(one.start).astype(int).set_axis(its.customer_id)
        one.own = dict.fromkeys(treated, one.start) | ({} if one.whole else began[began.index.isin(treated)].to_dict())
        one.treated = {who for who in treated if one.own[who] < one.after.stop or one.given("randomised", False)}
        one.began = began[:0] if one.whole else began[began.index.isin(one.treated)]
        one.in_waves = bool((one.began != one.start).any())
        one.eligible = since.index[since < one.before.start]
    headline = {}
    for one in begun:
        def write(metric, method, fields, outcome="", lag="", name=one.name):
            score = "nps" if outcome == "nps" else ""
            put("initiative", metric, "", method, fields, score, outcome, initiative=name, lag=str(lag))

        compare(one, begun, cells["revenue"], answers, segments)
        headline[one.name] = of_programme(write, one, cells, orders, answers)
        if one.whole or len(one.eligible) and one.treated.issuperset(one.eligible):
            of_series(write, one, cells)
    tests = {name: p for name, p in headline.items() if p is not None}
    for name, q in zip(tests, false_discoveries([*tests.values()])):                # 1.9, F2
        put("initiative", "did_net_value", "", "stratified", dict(q=q), outcome="net_value", initiative=name)


def compare(one, begun, revenue, answers, segments):
    """6.1: who is in the arms of a programme, and in which strata they are alike."""
    drawn, treated = one.given("randomised", False), one.treated.intersection(one.eligible)
    meanwhile = {who for other in begun for who, month in other.own.items() if other is not one and not drawn
                 and month < one.after.stop and other.end >= one.before.start}
    one.contaminated = len(treated & meanwhile) > len(treated - meanwhile)
    one.who = [name for name in one.eligible if not drawn or name in one.treated | one.held_out]
    one.who = [name for name in one.who if name not in meanwhile or one.contaminated and name in treated]
    one.arm = np.array([name in treated for name in one.who], bool)
    alike = pd.DataFrame(dict(all=0), index=one.who)
    if not one.given("target_segment"):
        alike["segment"] = segments.reindex(one.who).fillna("(unknown)")
    if one.after and len(one.early) >= 3:
        spent = capped(revenue.loc[:, :one.after[-1]]).loc[one.who, [*one.early]].sum(axis=1)
        split = np.quantile(spent[spent > 0], 0.5, method="inverted_cdf") if (spent > 0).any() else 0.0
        alike["spend"] = np.where(spent <= 0, 0, np.where(spent <= split, 1, 2))
    last = monthly(answers[answers.month < one.start]).groupby("customer_id").x.last()      # a month is an answer, as in 3.1
    scored = last[last.index.isin(treated)]
    one.aimed = not drawn and (scored <= 6).sum() > 0.8 * len(scored)               # 10: at those who are not content
    if one.aimed:
        alike["band"] = pd.Series(band(last), last.index).reindex(one.who).fillna("none")
    one.stratum = alike.groupby([*alike]).ngroup().to_numpy()
    sizes = pd.crosstab(one.stratum, one.arm).reindex(columns=[False, True], fill_value=0)
    one.kept = np.isin(one.stratum, sizes.index[(sizes >= 2).all(axis=1)])


def tested(value, se, df, n):
    """A t interval, and the p-value of no effect."""
    fields = interval(value, se, df)
    p = None if fields["se"] is None else 2 * scipy.stats.t.sf(abs(value) / se, df)
    return fields | dict(p=p, n=n, customers=n)


def welch(y, one):
    """The mean of the treated less that of the others."""
    a, b = y[one.arm], y[~one.arm]
    found, se = scipy.stats.ttest_ind(a, b, equal_var=False), np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    fields, ends = tested(a.mean() - b.mean(), se, found.df, len(y)), found.confidence_interval()
    assert np.allclose((found.pvalue, *ends), (fields["p"], fields["lo"], fields["hi"]), rtol=1e-9)
    return fields


def stratified(y, one):
    """6.2: the same by stratum, each with the weight of its treated; strata without two customers in each arm are left out."""
    rows = pd.DataFrame(dict(y=y, arm=one.arm, stratum=one.stratum))[one.kept]
    cells = rows.groupby(["stratum", "arm"]).y.agg(["size", "mean", "var"]).unstack()
    weight = cells["size"][True] / cells["size"][True].sum()
    parts = (cells["var"] / cells["size"]).mul(weight ** 2, axis=0).to_numpy()
    df = parts.sum() ** 2 / (parts ** 2 / (cells["size"] - 1)).to_numpy().sum()
    saturated = sm.OLS(rows.y, pd.get_dummies([*zip(rows.arm, rows.stratum)], dtype=float).set_index(rows.index))
    found = saturated.fit(cov_type="HC2").t_test([*-weight, *weight])
    value, se = weight @ (cells["mean"][True] - cells["mean"][False]), np.sqrt(parts.sum())
    assert np.allclose((found.effect.item(), found.sd.item()), (value, se), rtol=1e-9)
    return tested(value, se, df, len(rows))


def of_programme(write, one, cells, orders, answers):
    """6.2 to 6.4: the treated against the others. Returns the p-value of the headline."""
    arms = [int(one.arm.sum()), int((~one.arm).sum())]
    for metric, count in zip(("treated_customers", "control_customers"), arms):
        if one.after:                                               # else it is not known whom to compare them with
            write(metric, "census", dict(value=count, n=count, customers=count or None))
    amount = lambda number: float(Decimal(number).quantize(Decimal("0.0001"), ROUND_HALF_UP))       # 12.15
    one.costs = {month: amount(running_cost(one, month)) for month in range(one.start, one.after.stop)}
    one.cost = sum(one.costs.values()) + one.given("one_off_cost", 0.0)
    missing = None if one.cost > 0 else "not_applicable"
    unknown = missing or (None if one.after else "insufficient_history")
    write("initiative_cost", "census", dict(status=unknown) if unknown else dict(value=one.cost))
    if one.given("expected_net_value") is not None:
        write("expected_net_value", "census", dict(value=one.given("expected_net_value")))
    if one.given("randomised"):
        drawn, held_out = np.array([len(one.treated), len(one.held_out)]), one.given("holdout_share")
        found = scipy.stats.chisquare(drawn, drawn.sum() * np.array([1 - held_out, held_out]))
        found = dict(value=found.statistic, df=1, p=found.pvalue, n=drawn.sum(), customers=drawn.sum())
        write("sample_ratio", "chi_squared", found)
    if not one.after or min(arms) < 2:
        status = dict(status="insufficient_n" if one.after else "insufficient_history")
        for metrics, method, outcome in EFFECTS + IN_WAVES * one.in_waves + OF_LISTED * one.selected:
            for metric in metrics.split():
                write(metric, method, status, outcome)
        return None

    known = {name: part.loc[:, :one.after[-1]] / 10_000 for name, part in cells.items()}
    cap = {name: capped(part) for name, part in known.items()}      # 1.4: what is large as of the last month
    net = {"": cap["margin"] - cap["cost"], "_raw": known["margin"] - known["cost"]}
    mean_of = lambda table, months: table.loc[one.who, [*months]].mean(axis=1).to_numpy()
    change_of = lambda table: mean_of(table, one.after) - mean_of(table, one.before)
    active, changes = (orders > 0).astype(float), {suffix: change_of(table) for suffix, table in net.items()}
    stays = mean_of(active, one.after[-3:]) - mean_of(active, one.before)
    slope = np.polyfit(one.before, net[""].loc[one.who, [*one.before]].T, 1)[0]
    trended = changes[""] - slope * (np.mean(one.after) - np.mean(one.before))
    effects = {suffix: stratified(change, one) for suffix, change in changes.items()}
    crude = {metric: welch(y, one) for metric, y in dict(
        did_net_value=changes[""], did_net_value_raw=changes["_raw"], did_revenue=change_of(cap["revenue"]),
        did_service_saving=-change_of(cap["cost"]), did_active=stays, pretrend_slope=slope,
        did_net_value_trend_adjusted=trended).items()}
    outcomes = dict(did_revenue="revenue", did_service_saving="service_saving", did_active="active")
    unlike = dict(grade="E") if one.aimed else {}                   # what was low comes back by itself
    for metric, fields in crude.items():
        fields = fields if metric.startswith("pretrend") else fields | unlike
        write(metric, "welch", fields, outcomes.get(metric, "net_value"))
    month = {at: net[""].loc[one.who, at].to_numpy() for at in (*one.before, *one.after)}
    leads = {at: y - month[one.start - 1] for at, y in month.items() if at != one.start - 1}
    for at, y in leads.items():
        write("event_study", "welch", welch(y, one) | unlike, "net_value", lag=at - one.start)
    if one.given("randomised"):
        y, x = mean_of(net[""], one.after), mean_of(net[""], one.before)
        write("did_net_value", "cuped", welch(y - np.cov(y, x)[0, 1] / np.var(x, ddof=1) * x, one), "net_value")
    write("pretrend_joint", "wald", together([leads[at] for at in one.before[:-1]], one), "net_value")
    its = answers[answers.customer_id.isin(one.who) & answers.month.isin(month)]
    arm, later = its.customer_id.isin(one.treated) * 1.0, (its.month > one.before[-1]) * 1.0
    x = np.column_stack([np.ones(len(its)), arm, later, arm * later])
    write("did_nps", "cluster", coefficient(regressed(its.score, x, its.customer_id)) | unlike, "nps")

    assert max(arms) < 200                                          # 6.7: for grades A and B they are too small
    grade = dict(grade="D" if one.contaminated or one.whole else "C")
    for suffix, effect in effects.items():
        write("did_net_value" + suffix, "stratified", effect | grade, "net_value")
    retained = stratified(stays, one)
    write("did_active", "stratified", retained, "active")
    if one.in_waves:
        of_waves(write, one, net)
    if one.selected:
        write("expected_regression_to_mean", "test_retest", back_to_mean(one, answers), "nps")
    of_money(write, one, net, effects, retained, missing, grade)
    return effects[""]["p"]


def together(leads, one):
    """6.2: whether the arms went together in the months before the last one before the start."""
    a, b = (np.array(leads)[:, which] for which in (one.arm, ~one.arm))
    difference, covariance = a.mean(axis=1) - b.mean(axis=1), np.cov(a) / a.shape[1] + np.cov(b) / b.shape[1]
    wald, n = difference @ np.linalg.solve(covariance, difference), len(one.who)
    return dict(value=wald, df=len(leads), p=scipy.stats.f.sf(wald / len(leads), len(leads), n - 1), n=n, customers=n)


def of_waves(write, one, net):
    """6.5: each wave of customers against those who never start or, if these are few, have not started yet."""
    months = [*range(one.before.start, one.after.stop)]
    treated, wave = one.arm, pd.Series(one.who).map(one.began).fillna(0).astype(int).to_numpy()
    arms = {0: ~one.arm} | {g: treated & (wave == g) for g in sorted({*wave[treated].tolist()})}        # 0: never
    arms = {g: arm for g, arm in arms.items() if g == 0 or arm.sum() >= 2}
    n = {g: int(arm.sum()) for g, arm in arms.items()}
    cells = [(g, t) for g in arms if 0 < g < one.after.stop for t in months if t != g - 1]

    def effect(table, cells):
        y, value, total = table.loc[one.who, months].to_numpy(), 0.0, sum(n[g] for g, _ in cells)
        weights = {h: np.zeros(len(months)) for h in arms}
        for g, t in cells:
            at, ref = months.index(t), months.index(g - 1)
            others = [h for h in arms if h == 0 or n[0] < 200 and h > max(g, t)]
            change_of = lambda which: (y[which, at] - y[which, ref]).mean()
            value += n[g] / total * (change_of(arms[g]) - change_of(np.any([arms[h] for h in others], axis=0)))
            for h, part in ((g, 1.0), *((h, -n[h] / sum(n[k] for k in others)) for h in others)):
                weights[h][[at, ref]] += np.array([1, -1]) * part * n[g] / total
        sums = {h: y[arm] @ weights[h] for h, arm in arms.items()}
        assert np.isclose(sum(own.mean() for own in sums.values()), value, rtol=1e-9)
        parts, few = (np.array([of(h) for h in arms]) for of in (lambda h: sums[h].var(ddof=1) / n[h], lambda h: n[h] - 1))
        df = parts.sum() ** 2 / (parts ** 2 / few).sum()
        return tested(value, np.sqrt(parts.sum()), df, n[0] + sum(n[g] for g in {g for g, _ in cells}))

    for suffix, table in net.items():
        write("did_net_value" + suffix, "staggered", effect(table, [(g, t) for g, t in cells if t >= g]), "net_value")
    for lag in sorted({t - g for g, t in cells}):
        found = effect(net[""], [(g, t) for g, t in cells if t - g == lag])
        write("event_study", "staggered", found, "net_value", lag=lag)


def back_to_mean(one, answers):
    """6.6: what the last score before the start would change by itself, as those who are not treated answer again."""
    scores = monthly(answers[answers.customer_id.isin(one.who)])
    x = scores[scores.month < one.start].groupby("customer_id").x.last()
    y = scores[scores.month.between(one.start, one.after[-1])].groupby("customer_id").x.first()
    treated = x.index.isin(one.treated)
    pairs = pd.concat([x[~treated], y], axis=1, keys="xy").dropna()
    if len(pairs) < 4 or not treated.any():
        return dict(status="insufficient_n")
    found = correlation(pairs.x, pairs.y)
    if "status" in found:
        return found
    away = x.mean() - x[treated].mean()
    ends = (None, None) if found["lo"] is None else sorted((1 - found[end]) * away for end in ("lo", "hi"))
    return dict(value=(1 - found["value"]) * away, lo=ends[0], hi=ends[1], n=len(x), customers=len(x))


def of_money(write, one, net, effects, retained, missing, grade):
    """6.4: what the effect is worth on the treated that it is measured on, against the cost of the whole programme."""
    kept = int((one.kept & one.arm).sum())
    size, measured, months = dict(n=kept, customers=kept), kept / len(one.treated), kept * len(one.after)
    worth = {month: 1.10 ** (-(k + 1) / 12) for k, month in enumerate(one.after)}           # of money in that month
    spent = lambda last: one.given("one_off_cost", 0.0) + sum(
        cost * worth.get(month, 1.0) for month, cost in one.costs.items() if month <= last)

    def times(effect, factor, less=0.0):
        return tested(effect["value"] * factor - less, effect["se"] * factor, effect["df"], kept)

    def present(table, last):
        """The discounted value up to a month, less the cost."""
        before = table.loc[one.who, [*one.before]].mean(axis=1)
        excess = sum(worth[month] * (table.loc[one.who, month] - before) for month in one.after if month <= last)
        return times(stratified(excess.to_numpy(), one), kept, spent(last)) | dict(p=None)

    def put_priced(metric, fields, lag=""):
        write(metric, "stratified", dict(status=missing) if missing else size | fields(), lag=lag)

    write("treated_share_kept", "stratified", dict(value=kept / one.arm.sum()) | size)
    write("measured_share", "stratified", dict(value=measured) | size)
    for suffix, effect in effects.items():
        write("initiative_value" + suffix, "stratified", times(effect, months))
        put_priced("initiative_net" + suffix, lambda: times(effect, months, one.cost))
        put_priced("roi" + suffix, lambda: times(effect, months / one.cost, 1.0) | grade)
        if measured < 0.8:                                          # as if each of the treated had cost the same
            put_priced("roi_measured" + suffix, lambda: times(effect, months / (one.cost * measured), 1.0))
        put_priced("npv" + suffix, lambda: present(net[suffix], one.after[-1]))
    effect = effects[""]
    t = scipy.stats.t(effect["df"])
    put_priced("roi_confidence", lambda: dict(value=t.sf((one.cost / months - effect["value"]) / effect["se"])))
    put_priced("breakeven_effect", lambda: dict(value=one.cost / months))
    write("mde80", "stratified", dict(value=(t.ppf(0.975) + scipy.stats.norm.ppf(0.8)) * effect["se"]) | size)
    if one.given("expected_net_value") is not None:
        put_priced("net_beyond_expected", lambda: times(effect, months, one.cost + one.given("expected_net_value")))
    customers = lambda share_: one.cost / (kept * share_)
    if missing or retained["lo"] <= 0:                              # any cost is possible where nobody may have stayed
        write("cost_per_retained_customer", "stratified", dict(status=missing or "unbounded"))
    else:
        ends = dict(value=customers(retained["value"]), lo=customers(retained["hi"]), hi=customers(retained["lo"]))
        write("cost_per_retained_customer", "stratified", ends | size)
    paid = []
    for place, month in enumerate(one.after if not missing else []):
        found = present(net[""], month)
        put_priced("cumulative_net", lambda: found, lag=place + 1)
        paid += [place + 1] if found["value"] >= 0 else []
    write("payback_month", "stratified", dict(value=paid[0]) if paid else dict(status="not_applicable"))


def of_series(write, one, cells):
    """6.6: the customers of a programme before and after its start, where there is nobody to compare them with."""
    its, last = one.eligible[one.eligible.isin(one.treated)], one.after[-1]
    known = {name: part.loc[:, :last] / 10_000 for name, part in cells.items()}
    cap = {name: capped(part) for name, part in known.items()}
    t = np.array([month for month in range(START, last + 1) if not one.start <= month < one.after[0]])
    later, year = (t >= one.after[0]) * 1.0, 2 * np.pi * t / 12
    x = np.column_stack([np.ones(len(t)), t - START, later, later * (t - one.after[0])])
    if one.start - START >= 24:
        x = np.column_stack([x, np.sin(year), np.cos(year)])
    for suffix, outcome, y in (
            ("", "revenue", known["revenue"].loc[sorted(one.treated)].sum()),
            ("", "net_value", (cap["margin"] - cap["cost"]).loc[its].mean()),
            ("_raw", "net_value", (known["margin"] - known["cost"]).loc[its].mean())):
        y, lags = y[t].to_numpy(), int(4 * (len(t) / 100) ** (2 / 9))
        sized = dict(n=len(t)) | (dict(customers=len(its)) if outcome == "net_value" else {})
        fits = dict(newey_west=sm.OLS(y, x).fit(cov_type="HAC", cov_kwds=dict(maxlags=lags, use_correction=True), use_t=True),
                    gls_ar1=autoregressive(y, x, abs(t[:, None] - t)))
        for method, fit in fits.items():
            for metric, slope in (("its_level", 0.0), ("its_effect", x[later > 0, 3].mean())):
                found = fit.t_test([0, 0, 1, slope, 0, 0][:x.shape[1]])
                lo, hi = np.ravel(found.conf_int())
                fields = dict(value=found.effect.item(), se=found.sd.item(), df=fit.df_resid, lo=lo, hi=hi, p=found.pvalue.item())
                write(metric + suffix, method, fields | sized | dict(grade="D"), outcome)
        write("its_hac_lag" + suffix, "newey_west", dict(value=lags) | sized, outcome)


def autoregressive(y, x, distance):
    """Generalised least squares, the errors of two months being correlated by a power of the months between them. The
    parameter maximises the restricted likelihood: of its neighbourhood on a grid, the zero of the derivative."""
    freedom = x.shape[0] - x.shape[1]

    def slope(rho):
        v, dv = rho ** distance, distance * rho ** np.maximum(distance - 1, 0)
        vi = np.linalg.inv(v)
        p = vi - vi @ x @ np.linalg.solve(x.T @ vi @ x, x.T @ vi)
        return freedom * (y @ p @ dv @ p @ y) / (y @ p @ y) - np.trace(p @ dv)

    def likelihood(rho):
        v = rho ** distance
        gls = sm.GLS(y, x, sigma=v).fit()
        return -freedom * np.log(gls.scale) - np.linalg.slogdet(v)[1] - np.linalg.slogdet(x.T @ np.linalg.solve(v, x))[1]

    grid = np.linspace(-0.99, 0.99, 199)
    best = np.argmax([likelihood(rho) for rho in grid])
    rho = scipy.optimize.brentq(slope, grid[best - 1], grid[best + 1], xtol=1e-15, rtol=1e-14)
    return sm.GLS(y, x, sigma=rho ** distance).fit()


def of_models(put, months, changes, lifetimes, drivers, everybody):
    of_association(put, months, everybody)
    of_association(put, months, everybody, "service_contacts", "contacts")      # 2g: of months with an answer
    of_changes(put, changes)
    of_changes(put, changes, "service_contacts", "change_of_contacts")
    of_first_answers(put, months[months["first"]], everybody)
    of_asymmetry(put, months, everybody)
    of_survival(put, lifetimes)
    of_drivers(put, drivers)


def drilled_down(rows):
    """1.9: one statistic over all segments is a family (F3); first differences have their own (12.12)."""
    families, q = {}, {}
    for row in rows:
        *name, method, field, p = row
        if field == "p" and p and row[3] != "(all)" and not method.startswith("first_difference"):
            families.setdefault((*name[:3], *name[4:], method), []).append(row)
    for family in families.values():
        q |= zip(family, false_discoveries([float(row[-1]) for row in family]))
    return [new for row in rows for new in ([row, (*row[:-2], "q", repr(float(q[row])))] if row in q else [row])]


def expect():
    rows, quality = [], {}

    def put_for(segment):
        def put(section, metric, window, method, fields, score="", outcome="", band="", driver="", initiative="", lag=""):
            for field, value in fields.items():                     # null: an empty cell
                text = "" if value is None else value if isinstance(value, str) else repr(np.asarray(value).item())
                rows.append((section, metric, window, segment, score, outcome, band, driver, initiative, lag, method, field,
                             text))
        return put

    touches, lines = read("interactions", INTERACTIONS, "occurred_at"), read("sales", SALES, "ordered_at")
    quality["history_months"] = AS_OF - lines.month.min() + 1
    assert lines.month.min() == START and lines.month.max() == touches.month.max() == AS_OF + 1
    stray, bad = touches.month < START, lines.amount.isna()
    rejected = dict(interactions=int(stray.sum()), sales=int(bad.sum()), customers=0, initiatives=0, assignments=0,
                    control_totals=0)
    touches, lines = touches[~stray & (touches.consent.astype("boolean") != False).fillna(True)], lines[~bad]  # noqa: E712
    wrong = touches.nps.notna() & ~touches.nps.isin(range(11))
    quality["invalid_nps"] = int(wrong.sum())
    touches = touches.assign(nps=touches.nps.mask(wrong))
    again = dict(interactions=indistinct(touches, INTERACTIONS, ["interaction_id"]),
                 sales=indistinct(lines, SALES, ["order_id", "line_id"]), customers=0, initiatives=0, assignments=0,
                 control_totals=0)
    touches, copies = unique(touches, INTERACTIONS, ["interaction_id", "month"])
    lines, more = unique(lines, SALES, ["order_id", "line_id", "month"])
    customers, most = unique(read("customers", CUSTOMERS), CUSTOMERS, ["customer_id"])
    every, last = programmes()
    assignments = pd.read_csv(HERE / "lake/assignments.csv")
    assert not assignments.duplicated(["initiative", "customer_id"]).any()
    duplicate = dict(interactions=copies, sales=more, customers=most, initiatives=last, assignments=0, control_totals=0)
    quality["rejected_rows"], quality["duplicate_rows"] = sum(rejected.values()), sum(duplicate.values())
    quality["indistinct_rows"] = sum(again.values())

    known = pd.concat([touches, lines]).groupby("customer_id").month.min()      # who has no day is acquired with the first row
    acquired = pd.to_datetime(customers.acquired_at)
    customers["acquired"] = (acquired.dt.year * 12 + acquired.dt.month - 1).fillna(customers.customer_id.map(known))
    contacts = touches[touches.customer_id.notna() & touches.service_cost.notna()]  # those of the next month too: who calls again
    touches, lines = touches[touches.month <= AS_OF], lines[lines.month <= AS_OF]
    named = touches[touches.customer_id.notna()]
    answers = named[named.nps.notna()]
    answers = answers.assign(score=np.select([answers.nps >= 9, answers.nps <= 6], [100.0, -100.0], 0.0))
    bought, unnamed = lines[lines.customer_id.notna()], lines[lines.customer_id.isna()]
    of_segment(put_for("(all)"), answers, contacts, bought, unnamed)

    since = customers.set_index("customer_id").acquired.reindex(known.index).fillna(known)
    index = answers[answers.month.between(START + 3, AS_OF - 1) & (answers.customer_id.map(since) <= answers.month - 3)]
    index = index.groupby("customer_id").month.min()
    supposed = [(abs(a) * 35 + 50) // 100 * (1 if a > 0 else -1) for a in bought.amount.astype(int)]   # 35 %, to four decimals
    earned = bought.assign(margin=bought.margin.fillna(pd.Series(supposed, bought.index, "Int64")))     # (12.15), half up
    past = contacts[contacts.month <= AS_OF]
    margin, cost = panel(earned, "margin", known.index), panel(past, "service_cost", known.index)
    values = dict(ltv_to_cac=capped(margin) - capped(cost), ltv_to_cac_raw=margin - cost)
    of_acquisition(put_for("(all)"), customers, contacts, bought, index, values, yearly_cost(every))
    segments = customers.set_index("customer_id").segment
    of = lambda frame: frame.customer_id.map(segments).fillna("(unknown)")
    panels = dict(revenue=capped(panel(bought, "amount", known.index)), cost=capped(cost),
                  orders=panel(bought.assign(orders=bought.amount > 0), "orders", known.index))
    called = panel(past.assign(contacts=1), "contacts", known.index)
    raw = panel(bought, "amount", known.index)
    tables = [answer_months(answers, since, **panels, contacts=called, raw=raw), answer_changes(answers, panels["revenue"], called),
              stays(answers, index, panels["orders"]), driver_scores(answers, panels["revenue"])]
    tables = [table.assign(segment=of(table)) for table in tables]
    of_models(put_for("(all)"), *tables, True)
    came = customers.set_index("customer_id").acquired.combine_first(known)         # who never bought or wrote, too
    cells = dict(revenue=panel(bought, "amount", came.index), margin=panel(earned, "margin", came.index),
                 cost=panel(past, "service_cost", came.index))
    orders = panel(bought.assign(orders=bought.amount > 0), "orders", came.index)
    begun = [one for one in every if one.start <= AS_OF]
    of_programmes(put_for("(all)"), begun, assignments, cells, orders, named, answers, segments, came)
    assignments = assignments[assignments.initiative.isin([one.name for one in begun])]
    quality["unknown_assignments"] = int((~assignments.customer_id.isin(came.index)).sum())
    for segment in sorted({*segments.dropna(), "(unknown)"}):
        parts = [frame[of(frame) == segment] for frame in (answers, contacts, bought)]
        of_segment(put_for(segment), *parts, unnamed[:0])
        of_models(put_for(segment), *(table[table.segment == segment] for table in tables), False)
        its = index[index.index.map(segments).fillna("(unknown)") == segment]
        of_acquisition(put_for(segment), customers[of(customers) == segment], *parts[1:], its, values, None)
    ledger = pd.read_csv(HERE / "lake/control_totals.csv", index_col="month").revenue
    ledger = ledger[f"{AS_OF // 12}-{AS_OF % 12 + 1:02}"]
    off = int(lines.amount[lines.month == AS_OF].sum()) / 10_000 - ledger
    assert 0 < abs(off) < 0.005 * ledger
    put_for("(all)")("quality", "revenue_reconciliation", "MONTH", "census", dict(value=off))
    for metric, counts in dict(rejected_rows=rejected, duplicate_rows=duplicate, indistinct_rows=again).items():
        for source, count in counts.items():
            put_for("(all)")("quality", metric, "ALL", "census", dict(value=count), outcome=source)
    for metric, count in quality.items():
        put_for("(all)")("quality", metric, "ALL", "census", dict(value=count), "nps" if metric == "invalid_nps" else "")

    rows = drilled_down(rows)
    assert len({row[:-1] for row in rows}) == len(rows)
    with open(HERE / "expected.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow("section,metric,window,segment,score,outcome,band,driver,initiative,lag,method,field,expected".split(","))
        table.writerows(rows)
    print(f"{len(rows)} expected numbers")


if __name__ == "__main__":
    if sys.argv[1:] == ["lake"]:
        make_lake()
    expect()
