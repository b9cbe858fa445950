#!/usr/bin/env python3
"""Make a small lake with known answers: python3 make.py

Writes lake/ and cxroi.toml (world.py says what is in them) and expected.csv next to this file. The numbers are computed
from the lake's files, row by row, with pandas, statsmodels and scipy; no sums, SQL or code of the project have a part in
it. In expected.csv a statistic without a value has the one field `status`; an empty `expected` is a null: no interval,
because there is no spread or only one customer. Section marks are those of the project's method: 1.7 is the ratio of two
sums over customers, 12.14 says which of two copies stays.

The committed files were made with Python 3.11.7, pandas 2.3.3, pyarrow 26.0.1, numpy 2.4.6, scipy 1.17.1,
statsmodels 0.15.0.
"""
import calendar
import csv
import datetime
import json
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import scipy.stats
import statsmodels.api as sm
from statsmodels.stats.proportion import proportion_confint

sys.dont_write_bytecode = True
from world import AS_OF, CUSTOMERS, HERE, INTERACTIONS, MONEY, SALES, START, ZONE, make_lake  # noqa: E402


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


def net_value(lines, contacts, caps):
    """Customer by month since START: margin less service cost in ten-thousandths; with caps each is held within its own."""
    parts = [lines.assign(v=lines.margin.astype(float)), contacts.assign(v=contacts.service_cost.astype(float))]
    customers = sorted({*lines.customer_id, *contacts.customer_id})
    margin, cost = (part.pivot_table(index="customer_id", columns="month", values="v", aggfunc="sum")
                    .reindex(index=customers, columns=range(START, AS_OF + 1)).fillna(0.0) for part in parts)
    if caps:
        high = [np.quantile(part.values[part.values > 0], 0.99, method="inverted_cdf") for part in (margin, cost)]
        margin, cost = margin.clip(-high[0], high[0]), cost.clip(-high[1], high[1])
    return margin - cost


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
    """What the programmes cost in the twelve months. One that is delivered twice counts once."""
    rows = json.loads((HERE / "lake/initiatives.json").read_text())
    different, total = {json.dumps(row, sort_keys=True): row for row in rows}.values(), 0.0
    day = datetime.date.fromisoformat
    for row in different:
        start, end = day(row["starts_on"]), day(row.get("ends_on", "9999-12-31"))
        for month in range(AS_OF - 11, AS_OF + 1):
            year, number = month // 12, month % 12 + 1
            days = calendar.monthrange(year, number)[1]
            active = sum(start <= datetime.date(year, number, k + 1) <= end for k in range(days))
            total += row.get("cost_per_month", 0.0) * active / days
            total += row.get("one_off_cost", 0.0) * ((start.year, start.month) == (year, number))
    return total, len(rows) - len(different)


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


def expect():
    rows, quality = [], {}

    def put_for(segment):
        def put(section, metric, window, method, fields, score="", outcome=""):
            for field, value in fields.items():                     # null: an empty cell
                text = "" if value is None else value if isinstance(value, str) else repr(np.asarray(value).item())
                rows.append((section, metric, window, segment, score, outcome, method, field, text))
        return put

    touches, lines = read("interactions", INTERACTIONS, "occurred_at"), read("sales", SALES, "ordered_at")
    quality["history_months"] = AS_OF - lines.month.min() + 1
    assert lines.month.min() == START and lines.month.max() == touches.month.max() == AS_OF + 1
    stray, bad = touches.month < START, lines.amount.isna()
    rejected = dict(interactions=int(stray.sum()), sales=int(bad.sum()), customers=0, initiatives=0, control_totals=0)
    touches, lines = touches[~stray & (touches.consent.astype("boolean") != False).fillna(True)], lines[~bad]  # noqa: E712
    wrong = touches.nps.notna() & ~touches.nps.isin(range(11))
    quality["invalid_nps"] = int(wrong.sum())
    touches = touches.assign(nps=touches.nps.mask(wrong))
    touches, copies = unique(touches, INTERACTIONS, ["interaction_id", "month"])
    lines, more = unique(lines, SALES, ["order_id", "line_id", "month"])
    customers, most = unique(read("customers", CUSTOMERS), CUSTOMERS, ["customer_id"])
    programme_cost, last = programmes()
    duplicate = dict(interactions=copies, sales=more, customers=most, initiatives=last, control_totals=0)
    quality["rejected_rows"], quality["duplicate_rows"] = sum(rejected.values()), sum(duplicate.values())

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
    values = dict(ltv_to_cac=net_value(earned, past, True), ltv_to_cac_raw=net_value(earned, past, False))
    of_acquisition(put_for("(all)"), customers, contacts, bought, index, values, programme_cost)
    segments = customers.set_index("customer_id").segment
    of = lambda frame: frame.customer_id.map(segments).fillna("(unknown)")
    for segment in sorted({*segments.dropna(), "(unknown)"}):
        parts = [frame[of(frame) == segment] for frame in (answers, contacts, bought)]
        of_segment(put_for(segment), *parts, unnamed[:0])
        its = index[index.index.map(segments).fillna("(unknown)") == segment]
        of_acquisition(put_for(segment), customers[of(customers) == segment], *parts[1:], its, values, None)
    ledger = pd.read_csv(HERE / "lake/control_totals.csv", index_col="month").revenue
    ledger = ledger[f"{AS_OF // 12}-{AS_OF % 12 + 1:02}"]
    off = int(lines.amount[lines.month == AS_OF].sum()) / 10_000 - ledger
    assert 0 < abs(off) < 0.005 * ledger
    put_for("(all)")("quality", "revenue_reconciliation", "MONTH", "census", dict(value=off))
    for metric, counts in dict(rejected_rows=rejected, duplicate_rows=duplicate).items():
        for source, count in counts.items():
            put_for("(all)")("quality", metric, "ALL", "census", dict(value=count), outcome=source)
    for metric, count in quality.items():
        put_for("(all)")("quality", metric, "ALL", "census", dict(value=count), "nps" if metric == "invalid_nps" else "")

    assert len({row[:8] for row in rows}) == len(rows)
    with open(HERE / "expected.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["section", "metric", "window", "segment", "score", "outcome", "method", "field", "expected"])
        table.writerows(rows)
    print(f"{len(rows)} expected numbers")


if __name__ == "__main__":
    make_lake()
    expect()
