#!/usr/bin/env python3
"""Make a small lake with known answers: python3 make.py

Writes lake/ and cxroi.toml (world.py says what is in them) and expected.csv next to this file. The numbers are computed
from the lake's files, row by row, with pandas, statsmodels and scipy; no sums, SQL or code of the project have a part in
it. In expected.csv a statistic without a value has the one field `status`; an empty `expected` is a null: no interval,
because there is no spread or only one customer. Section marks are those of the project's method: 1.7 is the ratio of two
sums over customers, 12.14 says which of two copies stays.

The committed files were made with Python 3.11.7, pandas 3.1.1, pyarrow 26.0.1, numpy 2.4.6, scipy 1.17.1,
statsmodels 0.15.0.
"""
import csv
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


def of_segment(put, answers, contacts, lines, unnamed):
    """Every number of one segment; `unnamed` are the sales without a customer, which only (all) has."""
    now, before = answers[answers.month > AS_OF - 3], answers[answers.month.between(AS_OF - 5, AS_OF - 3)]
    put("kpi", "nps", "T3M", "cluster", mean(now.score, now.customer_id), "nps")
    put("kpi", "nps", "T3M_prev", "cluster", mean(before.score, before.customer_id), "nps")
    put("kpi", "nps_change", "T3M", "cluster", change(now, before), "nps")
    contacts = contacts[contacts.month > AS_OF - 3]
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
        def put(section, metric, window, method, fields, score=""):
            for field, value in fields.items():                     # null: an empty cell
                text = "" if value is None else value if isinstance(value, str) else repr(np.asarray(value).item())
                rows.append((section, metric, window, segment, score, method, field, text))
        return put

    touches, lines = read("interactions", INTERACTIONS, "occurred_at"), read("sales", SALES, "ordered_at")
    quality["history_months"] = AS_OF - lines.month.min() + 1
    assert lines.month.min() == START and lines.month.max() == touches.month.max() == AS_OF + 1
    stray, bad = touches.month < START, lines.amount.isna()
    quality["rejected_rows"] = int(stray.sum() + bad.sum())
    touches, lines = touches[~stray & (touches.consent.astype("boolean") != False).fillna(True)], lines[~bad]  # noqa: E712
    wrong = touches.nps.notna() & ~touches.nps.isin(range(11))
    quality["invalid_nps"] = int(wrong.sum())
    touches = touches.assign(nps=touches.nps.mask(wrong))
    touches, copies = unique(touches, INTERACTIONS, ["interaction_id", "month"])
    lines, more = unique(lines, SALES, ["order_id", "line_id", "month"])
    customers, most = unique(read("customers", CUSTOMERS), CUSTOMERS, ["customer_id"])
    quality["duplicate_rows"] = copies + more + most
    touches, lines = touches[touches.month <= AS_OF], lines[lines.month <= AS_OF]

    named = touches[touches.customer_id.notna()]
    answers = named[named.nps.notna()]
    answers = answers.assign(score=np.select([answers.nps >= 9, answers.nps <= 6], [100.0, -100.0], 0.0))
    contacts = named[named.service_cost.notna()]
    bought, unnamed = lines[lines.customer_id.notna()], lines[lines.customer_id.isna()]
    of_segment(put_for("(all)"), answers, contacts, bought, unnamed)
    segments = customers.set_index("customer_id").segment
    of = lambda frame: frame.customer_id.map(segments).fillna("(unknown)")
    for segment in sorted({*segments.dropna(), "(unknown)"}):
        parts = [frame[of(frame) == segment] for frame in (answers, contacts, bought)]
        of_segment(put_for(segment), *parts, unnamed[:0])
    for metric, count in quality.items():
        put_for("(all)")("quality", metric, "ALL", "census", dict(value=count), "nps" if metric == "invalid_nps" else "")

    assert len({row[:7] for row in rows}) == len(rows)
    with open(HERE / "expected.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["section", "metric", "window", "segment", "score", "method", "field", "expected"])
        table.writerows(rows)
    print(f"{len(rows)} expected numbers")


if __name__ == "__main__":
    make_lake()
    expect()
