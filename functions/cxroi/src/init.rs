//! `cxroi init`: looks at files that nobody has described, guesses which table and column is what, and writes the
//! configuration and the staging SQL that a person would begin with. Every choice is printed with its reason.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::fs;
use std::iter::repeat_n;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use engine::contract::{self, Kind, Presence};
use engine::{Analyst, Error, Stores, plural};
use url::Url;

/// Numbers as 1.234,50 and as 1,234.50; thousands may have no mark.
const DECIMAL_COMMA: &str = r"^\s*[+-]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]+)?(,[0-9]*)?\s*$";
const DECIMAL_POINT: &str = r"^\s*[+-]?([0-9]{1,3}(,[0-9]{3})+|[0-9]+)?(\.[0-9]*)?\s*$";

/// Rows of a table that are looked at, and how many of them are taken as a sample, evenly.
const LOOKED_AT: usize = 1_000_000;
const SAMPLE: usize = 10_000;

/// What people call the columns of the contract in English, German, Spanish, Portuguese, French and Italian, without accents and
/// best first. The words of one name may stand in any order and within longer words.
const NAMES: &str = "
customer_id: customer id, customer no, customer nr, customer number, customer key, customer, client id, client no,
    client, cust id, cust no, cust, kunden id, kunden nr, kunden nummer, kunde, user id, user, account id, account no,
    account, party id, party, member id, member, person id, buyer id, buyer, shopper id, subscriber id, guest id,
    contact id, requester id, respondent id, respondent, kd nr, cliente id, cliente, consumer id;
order_id: order id, order no, order nr, order number, order, invoice id, invoice no, invoice number, invoice,
    transaction id, transaction no, transaction, receipt id, receipt no, receipt, purchase id, basket id, bestell id,
    bestell nr, bestell nummer, bestellung, auftrags nr, auftrags nummer, auftrag, rechnungs nr, rechnungs nummer,
    rechnung, beleg nr, beleg nummer, bon nr, bill id, bill no, bill number, bill, commande id, commande, pedido id, pedido, factura id, factura, fattura, ordine, id;
ordered_at: ordered at, order purchase timestamp, purchase timestamp, order date, order time, purchase date, purchased
    at, sold at, sale date, sales date, invoice date, transaction date, transaction time, booked at, booking date,
    placed at, bestell datum, kauf datum, rechnungs datum, auftrags datum, beleg datum, fecha pedido, data pedido,
    date commande, fecha, datum, order created at, created at, created, bill date,
    billed at, order timestamp, timestamp, date, data, time;
amount: amount, net amount, net revenue, revenue, net sales, line total net, line total, line amount, item total, net
    total, sales amount, order amount, order total, order value, payment value, total amount, subtotal, netto umsatz,
    umsatz, netto betrag, netto preis, netto, betrag, summe, gesamt preis, gesamt, importe, montant, valor, importo,
    fatturato, turnover, total, total price, value, sales, paid, price, preis, precio, prix, preco, prezzo, unit
    price, einzel preis, stuck preis, precio unitario, prix unitaire, net price, net value, gross amount, gross
    total, grand total, brutto betrag, brutto, cents;
line_id: line id, line no, line nr, line number, order item id, order line id, item no, item number, position,
    positions nr, pos, line, zeile, sequence, seq, id;
product_id: product id, product no, product code, product sku, sku, product, item id, item code, article id, article
    no, artikel nr, artikel nummer, artikel id, artikel, stock code, ean, asin, produkt id, produkt nr, produkt,
    produit, producto, produto, prodotto;
category: category, product category name, product category, category name, department, product group, waren gruppe,
    produkt gruppe, kategorie, categoria, categorie, product line, family, sparte;
quantity: quantity, qty, units, pieces, menge, anzahl, stuck, cantidad, quantite, quantidade, quantita;
margin: margin, gross margin, gross profit, contribution margin, profit, marge, margen, margem, rohertrag, deckungs
    beitrag;
currency: currency, currency code, curr, ccy, wahrung, waehrung, moneda, devise, moeda, valuta;
occurred_at: occurred at, answered at, answer timestamp, responded at, response date, response time stamp, submitted
    at, survey date, contacted at, called at, call time, call date, started at, start time, event time, event date,
    event timestamp, opened at, zeitpunkt, antwort datum, kontakt datum, created at, created, submitted, creation date, timestamp, date,
    datum, fecha, data, time;
interaction_id: interaction id, response id, review id, survey id, answer id, feedback id, ticket id, ticket no, call
    id, case id, contact id, chat id, session id, event id, antwort nr, antwort id, kontakt nr, vorgangs nr, id;
channel: channel, contact channel, kanal, canal, canale, contact medium, medium, contact type, via;
touchpoint: touchpoint, touch point, kontakt punkt, beruhrungs punkt, topic, contact reason, reason, anlass, thema,
    motivo, page;
stage: stage, journey stage, phase, etapa, etape;
device: device, device type, gerat, geraet, platform, dispositivo;
nps: nps, nps score, likelihood to recommend, likelihood, recommend, recommendation, weiterempfehlung, empfehlung, recomendacion,
    recomendacao, ltr;
csat: csat, csat score, csat rating, satisfaction, satisfaction score, satisfaction rating, zufriedenheit, satisfaccion, satisfacao, soddisfazione,
    review score, stars, star rating;
ces: ces, ces score, effort, effort score, customer effort score, aufwand, esfuerzo, esforco;
score: score, rating, bewertung, note, nota, answer, antwort, puntuacion, grade, punkte, stars, wert;
service_cost: service cost, contact cost, handling cost, cost, service kosten, bearbeitungs kosten, kosten, costo,
    coste, custo, cout;
handle_seconds: handle seconds, handle time, handling time, handling seconds, talk time, call duration, duration,
    bearbeitungs zeit, dauer, duracion, duracao, duree, aht;
response_seconds: response seconds, response time, first response time, first response, first reply time, first reply, wait time, waiting time, wait
    seconds, warte zeit, antwort zeit;
escalated: escalated, escalation, eskaliert, eskalation, escalado;
pages_viewed: pages viewed, page views, pageviews, pages;
session_seconds: session seconds, session duration, session length, time on site;
converted: converted, conversion, konvertiert;
task_completed: task completed, task success, completed task;
task_error: task error, task failed;
task_abandoned: task abandoned, abandoned;
task_seconds: task seconds, task duration, task time;
consent: consent, opt in, optin, marketing consent, einwilligung, zustimmung, consentement, consentimiento, consenso;
segment: segment, customer segment, kunden segment, segmento, tier, customer group, kunden gruppe, customer type,
    kunden typ, type, plan, loyalty, ~state, ~region, ~bundesland, ~country, ~land, ~pais;
acquired_at: acquired at, acquisition date, signup date, sign up date, signed up, registered at, registration date,
    customer since, member since, kunde seit, joined at, join date, anmelde datum, registrierungs datum, fecha alta,
    opened, opened at, first purchase, created at;
acquisition_cost: acquisition cost, cac, akquise kosten, werbe kosten, coste adquisicion, marketing cost;
referred: referred, referral, recommended by, geworben, empfohlen, referido;
initiative: initiative, initiative name, program, programme, campaign, project, massnahme, kampagne, programm,
    iniciativa, campana, ~name;
starts_on: starts on, start date, starts, start, started on, from date, from, beginn, start datum, inicio, debut, von;
ends_on: ends on, end date, ends, end, ended on, until, to date, ende, end datum, fin, fim, bis;
cost_per_month: cost per month, monthly cost, running cost, kosten pro monat, monats kosten;
one_off_cost: one off cost, one time cost, setup cost, einmal kosten, einmalige kosten;
target_segment: target segment, ziel segment;
target_channel: target channel, ziel kanal;
target_touchpoint: target touchpoint;
randomised: randomised, randomized, is random;
holdout_share: holdout share, holdout, control share;
targeted_on_score: targeted on score;
expected_net_value: expected net value, expected value, business case;
arm: arm, test group, test gruppe, treatment, variant, ~gruppe, ~group, ~cohort;
month: month, period, fiscal period, monat, periode, mes, mois, mese;
revenue: revenue, net revenue, amount, total, umsatz, betrag, ledger revenue, sales, turnover;
";

/// What people call tables, by source: one of these words is in the name.
const TABLES: &str = "
sales: sales sale charges payments order orders item items line lines position positionen transaction transactions invoice invoices
    purchase purchases receipts umsatz umsatze verkauf verkaufe bestellung bestellungen rechnungen ventas pedidos
    vendas commandes ventes vendite;
interactions: interaction interactions review reviews survey surveys feedback response responses answer answers ticket
    tickets call calls contact contacts chat chats case cases session sessions event events visits nps csat complaints
    umfrage umfragen kontakt kontakte bewertung bewertungen befragung anrufe antworten encuestas;
customers: customer customers client clients account accounts user users member members people crm kunde kunden
    kundenstamm cliente clientes clienti;
initiatives: initiative initiatives program programs programme programmes campaign campaigns projects massnahmen
    kampagnen;
assignments: assignment assignments treatment treatments arms participants holdout experiment zuordnung;
control_totals: control totals ledger finance gl hauptbuch accounting bookings;
";

/// Words that make a name that of something else than an id, or than revenue.
const NO_ID: &str = "name email mail phone city state country zip plz address type segment group since status age gender date datum \
    at time timestamp class tier region comment message title value amount count";
const NO_LABEL: &str = "id";
const NO_REVENUE: &str = "freight shipping tax vat mwst ust steuer versand versandkosten discount rabatt fee tip cost kosten margin \
    currency quantity qty type id no method installments rate pct percent weight";

/// Words of a name that only say how something is measured or written.
const UNITS: &str = "cent cents minor pence centavos rappen eur usd gbp euro euros min mins minutes minuten minutos sec secs \
    seconds sekunden ms millis utc local raw";

/// How a number or a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Number {
        comma: bool,
        marks: bool,
    },
    /// The contract reads it as it is.
    Time,
    YearFirst,
    /// 31/12/2024 or 12/31/2024; which of them may have to be told from other columns.
    Days {
        day_first: bool,
        sure: bool,
    },
    /// 20241231
    Compact,
    Seconds,
    Millis,
    Other,
}

#[derive(Debug)]
struct Column {
    name: String,
    data_type: DataType,
    filled: usize,
    distinct: usize,
    sample: Vec<String>,
    written: Written,
}

#[derive(Debug)]
struct Table {
    name: String,
    url: Url,
    rows: usize,
    columns: Vec<Column>,
}

/// A table and a column of it.
type Place = (usize, usize);

/// The values of a column are keys of another table.
#[derive(Debug, Clone, PartialEq)]
struct Link {
    from: Place,
    to: Place,
    share: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sure {
    Guess,
    Fair,
    High,
}

/// Where a column of the contract comes from.
#[derive(Debug, Clone)]
struct Choice {
    target: &'static str,
    kind: Kind,
    place: Place,
    /// Another column of the same table: a quantity to multiply with, or an id that makes this one unique.
    with: Option<usize>,
    sure: Sure,
    why: String,
}

/// Everything that was seen.
#[derive(Debug, Default)]
struct Seen {
    tables: Vec<Table>,
    links: Vec<Link>,
    /// The key of customers that is only one order's, and the column beside it that is the person.
    person: Option<(Place, Place)>,
}

/// A source of the contract with the tables that its rows are in.
type Sources = BTreeMap<&'static str, Vec<(usize, Vec<Choice>)>>;

/// Looks at everything below `lake`, writes `cxroi.toml` and staging SQL into `folder`, and says what was chosen and why.
///
/// # Errors
/// [`Error::Input`] if a file is there already, or if nothing looks like sales.
pub(crate) async fn run(lake: &Url, folder: &Path, stores: &Stores) -> Result<String> {
    let mut entries: BTreeMap<String, Url> = engine::entries(lake, stores).await?.into_iter().collect();
    let mut skipped = String::new();
    let analyst = match engine::explore(&entries, stores).await {
        Ok(analyst) => analyst,
        // One damaged file is no reason to see nothing.
        Err(_) => {
            for (name, url) in entries.clone() {
                if let Err(error) = engine::explore(&BTreeMap::from([(name.clone(), url)]), stores).await {
                    skipped.push_str(&format!("{name} is left out: {error}\n"));
                    entries.remove(&name);
                }
            }
            engine::explore(&entries, stores).await?
        }
    };
    if entries.is_empty() {
        let why = if skipped.is_empty() {
            "name the folder of the files, or of one folder a table\n"
        } else {
            skipped.as_str()
        };
        return Err(
            Error::Input(format!("{lake} holds no Parquet, CSV or JSON that can be read: {}", why.trim_end())).into()
        );
    }
    let mut seen = Seen::default();
    for (name, url) in entries {
        seen.tables.push(look(&analyst, name, url).await?);
    }
    settle_days(&mut seen.tables);
    seen.links = links(&analyst, &seen.tables).await?;
    seen.person = seen.person();
    let mut sources = seen.sources();
    let Some(sales) = sources.get_mut("sales") else {
        let tables: Vec<&str> = seen.tables.iter().map(|table| table.name.as_str()).collect();
        return Err(Error::Input(format!(
            "none of {} looks like sales: a number of money, an id of the order, and a time of its own or of the order's table; write cxroi.toml by hand, as the README says",
            tables.join(", ")
        ))
        .into());
    };
    for (table, choices) in sales {
        unless_copies(&analyst, &seen.tables[*table], choices).await?;
    }
    let mut currencies: BTreeSet<String> = BTreeSet::new();
    for found in sources["sales"].iter().filter_map(|(_, choices)| choice(choices, "currency")) {
        let (table, column) = seen.at(found.place);
        let sql = format!("select distinct {} from raw.{} limit 9", quoted(&column.name), quoted(&table.name));
        currencies.extend(rows(&analyst, &sql).await?.into_iter().filter_map(|mut row| row.remove(0)));
    }
    let currencies: Vec<String> = currencies.into_iter().collect();
    // As paths of the configuration are read later: without looking at links.
    let here = crate::resolve(&format!("{}/", folder.display()))?;
    let here = here.to_file_path().unwrap_or_else(|()| folder.to_owned());
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for (source, parts) in &sources {
        files.extend(seen.staging(source, parts, &sources).map(|sql| (format!("sql/staging/{source}.sql"), sql)));
    }
    files.insert("cxroi.toml".to_owned(), seen.configuration(lake, &here, &sources, &currencies, !files.is_empty()));
    if let Some(there) = files.keys().map(|file| folder.join(file)).find(|file| file.exists()) {
        return Err(Error::Input(format!(
            "{} is there already; move it away, or name another folder with --output",
            there.display()
        ))
        .into());
    }
    for (file, text) in &files {
        let path = folder.join(file);
        let parent = path.parent().context("a file has a folder")?;
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let config = folder.join("cxroi.toml");
    let written: Vec<String> = files.keys().map(|file| folder.join(file).display().to_string()).collect();
    Ok(format!(
        "{skipped}{}\nwrote {}\nWhat next: look at what is only a guess, then\n  cxroi check --config {config}\n  cxroi run --config {config}\n",
        seen.said(&sources, &currencies),
        written.join(", "),
        config = config.display()
    ))
}

/// The path of a place below a folder, beside it, or beside the folder that it is in, as seen from there; `None` of one that is
/// further away, and where a link on the way up may lead elsewhere.
fn relative(path: &Path, folder: &Path) -> Option<PathBuf> {
    const UP: usize = 2;
    let shared = folder.components().zip(path.components()).take_while(|(one, other)| one == other).count();
    let up = folder.components().count() - shared;
    let is_link = |there: &Path| there.exists() && !there.canonicalize().is_ok_and(|real| real == there);
    // The root alone is nothing that they share.
    if up > UP || up > 0 && (shared < 2 || folder.ancestors().take(up).any(is_link)) {
        return None;
    }
    let there = repeat_n(Component::ParentDir, up).chain(path.components().skip(shared)).collect::<PathBuf>();
    Some(if there.as_os_str().is_empty() { PathBuf::from(".") } else { there })
}

/// The rows of a query as texts.
async fn rows(analyst: &Analyst, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
    let query = analyst.query(sql).await.with_context(|| format!("cannot ask the lake: {sql}"))?;
    let mut rows = Vec::new();
    for batch in query.collect().await.with_context(|| format!("cannot ask the lake: {sql}"))? {
        let columns = batch.columns().iter().map(|column| cast(column, &DataType::Utf8));
        let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            let text =
                |column: &ArrayRef| column.is_valid(row).then(|| column.as_string::<i32>().value(row).to_owned());
            rows.push(columns.iter().map(text).collect());
        }
    }
    Ok(rows)
}

/// Counts the values of every column and takes a sample of them.
async fn look(analyst: &Analyst, name: String, url: Url) -> Result<Table> {
    let raw = format!("raw.{}", quoted(&name));
    let all = analyst.query(&format!("select * from {raw}")).await.with_context(|| format!("cannot read {url}"))?;
    let readable = |found: &DataType| {
        !found.is_nested() && !matches!(found, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
    };
    let fields = all.schema().fields().iter().filter(|field| readable(field.data_type()));
    let fields: Vec<(String, DataType)> =
        fields.map(|field| (field.name().clone(), field.data_type().clone())).collect();
    let part = format!("(select * from {raw} limit {LOOKED_AT}) as part");
    let text = |name: &str| format!("cast({} as varchar)", quoted(name));
    let counts = fields.iter().map(|(name, _)| format!(", count({0}), approx_distinct({0})", text(name)));
    let counted = rows(analyst, &format!("select count(*){} from {part}", counts.collect::<String>())).await?;
    let count = |at: usize| counted[0][at].as_deref().and_then(|count| count.parse().ok()).unwrap_or(0_usize);
    let texts: Vec<String> = fields.iter().map(|(name, _)| text(name)).collect();
    let step = (count(0) / SAMPLE).max(1);
    let sample = if fields.is_empty() {
        Vec::new()
    } else {
        let numbered = format!("(select *, row_number() over () as cxroi_row from {part}) as numbered");
        rows(analyst, &format!("select {} from {numbered} where cxroi_row % {step} = 0", texts.join(", "))).await?
    };
    let mut columns = Vec::new();
    for (at, (name, data_type)) in fields.into_iter().enumerate() {
        let sample: Vec<String> = sample.iter().filter_map(|row| row[at].clone()).collect();
        let (filled, mut distinct) = (count(1 + 2 * at), count(2 + 2 * at));
        // The estimate is a few percent off, and whether a key is one has to be known.
        if distinct * 10 >= filled * 8 && is_id(&sample) {
            let exact = rows(analyst, &format!("select count(distinct {}) from {part}", text(&name))).await?;
            distinct = exact[0][0].as_deref().and_then(|count| count.parse().ok()).unwrap_or(distinct);
        }
        let written = written(&data_type, &sample);
        columns.push(Column { name, data_type, filled, distinct, sample, written });
    }
    Ok(Table { name, url, rows: count(0), columns })
}

/// Where no day is above 12, days come first if they do in the columns that show it.
fn settle_days(tables: &mut [Table]) {
    let all = tables.iter().flat_map(|table| &table.columns).map(|column| column.written);
    let known: Vec<bool> = all
        .filter_map(|written| match written {
            Written::Days { day_first, sure: true } => Some(day_first),
            _ => None,
        })
        .collect();
    for column in tables.iter_mut().flat_map(|table| &mut table.columns) {
        if let Written::Days { day_first, sure: false } = &mut column.written {
            *day_first = known.contains(&true) && !known.contains(&false);
        }
    }
}

/// Which columns hold keys of other tables.
async fn links(analyst: &Analyst, tables: &[Table]) -> Result<Vec<Link>> {
    let mut links = Vec::new();
    let places = |table: usize| (0..tables[table].columns.len()).map(move |column| (table, column));
    for to in (0..tables.len()).flat_map(places) {
        let (parent, key) = (&tables[to.0], &tables[to.0].columns[to.1]);
        if !key.is_key(parent.rows) {
            continue;
        }
        for from in (0..tables.len()).filter(|table| *table != to.0).flat_map(places) {
            let (child, value) = (&tables[from.0], &tables[from.0].columns[from.1]);
            if !may_link(child, value, parent, key) {
                continue;
            }
            let (one, other) = (quoted(&value.name), quoted(&key.name));
            let found = rows(
                analyst,
                &format!(
                    "select count(*), count(parent.id) from (select distinct cast({one} as varchar) as id from raw.{} where {one} is not null limit 500) as child left join (select distinct cast({other} as varchar) as id from raw.{}) as parent on parent.id = child.id",
                    quoted(&child.name),
                    quoted(&parent.name)
                ),
            )
            .await?;
            let number = |at: usize| found[0][at].as_deref().and_then(|count| count.parse().ok()).unwrap_or(0.0_f64);
            let share = number(1) / number(0).max(1.0);
            if share >= 0.8 || share >= 0.5 && words(&value.name) == words(&key.name) {
                links.push(Link { from, to, share });
            }
        }
    }
    Ok(links)
}

/// An id of the line that does not tell the lines of an order apart would make copies of them: then there is none.
async fn unless_copies(analyst: &Analyst, table: &Table, choices: &mut Vec<Choice>) -> Result<()> {
    let (Some(order), Some(line)) = (choice(choices, "order_id"), choice(choices, "line_id")) else { return Ok(()) };
    let ids = [order, line].map(|choice| format!("cast({} as varchar)", quoted(&table.columns[choice.place.1].name)));
    let (raw, ids) = (quoted(&table.name), ids.join(", "));
    let sql =
        format!("select count(*), sum(copies) from (select count(*) as copies from raw.{raw} group by {ids}) as lines");
    let found = rows(analyst, &sql).await?;
    let number = |at: usize| found[0][at].as_deref().and_then(|count| count.parse().ok()).unwrap_or(0.0_f64);
    if number(0) < 0.9 * number(1) {
        choices.retain(|choice| choice.target != "line_id");
    }
    Ok(())
}

/// The words of a name: small letters without accents.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut small = false;
    for letter in name.chars() {
        let plain = match letter {
            'ä' | 'Ä' | 'á' | 'à' | 'â' | 'ã' | 'Á' | 'À' | 'Ã' => 'a',
            'ö' | 'Ö' | 'ó' | 'ò' | 'ô' | 'õ' | 'Ó' => 'o',
            'ü' | 'Ü' | 'ú' | 'ù' | 'Ú' => 'u',
            'é' | 'è' | 'ê' | 'É' => 'e',
            'í' | 'ì' | 'Í' => 'i',
            'ç' | 'Ç' => 'c',
            'ñ' | 'Ñ' => 'n',
            'ß' => 's',
            other => other.to_ascii_lowercase(),
        };
        if !plain.is_alphanumeric() || small && letter.is_uppercase() {
            words.push(String::new());
        }
        if plain.is_alphanumeric() {
            words.last_mut().expect("there is a word").push(plain);
            if letter == 'ß' {
                words.last_mut().expect("there is a word").push('s');
            }
        }
        small = letter.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What is known under a heading of a list of names.
fn known(list: &'static str, heading: &str) -> &'static str {
    let entry = |entry: &'static str| entry.trim().strip_prefix(heading)?.strip_prefix(':');
    list.split(';').find_map(entry).unwrap_or_default()
}

fn listed(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|known| known == word)
}

/// How much of a name is explained by one of the names of a column of the contract: from 0 to 1, and whether that is no more
/// than a guess. Words of the table's own name do not count, as `review` in `reviews.review_score`, except beside an id.
fn likeness(table: &str, name: &str, target: &str) -> (f64, bool) {
    let found = words(name);
    if found == words(target) {
        return (1.0, false);
    }
    let no = match target {
        "amount" | "revenue" | "margin" => NO_REVENUE,
        target if target.ends_with("_id") => NO_ID,
        "category" | "segment" | "channel" | "touchpoint" | "stage" | "device" => NO_LABEL,
        _ => "",
    };
    let is_margin = target == "margin" && found.iter().any(|word| word == "margin");
    if found.iter().any(|word| listed(no, word)) && !is_margin {
        return (0.0, false);
    }
    let about = words(table);
    let is_about = |word: &String| about.iter().any(|known| known.trim_end_matches('s') == word.trim_end_matches('s'));
    let mut best = (0.0, false);
    for (rank, pattern) in known(NAMES, target).split(',').map(str::trim).enumerate() {
        let (guess, pattern) = pattern.strip_prefix('~').map_or((false, pattern), |pattern| (true, pattern));
        let parts: Vec<&str> = pattern.split_whitespace().collect();
        let mut explained = vec![0; found.len()];
        let all = parts.iter().all(|part| {
            let same = found.iter().position(|word| word == part || word.strip_suffix('s') == Some(*part));
            let within = || found.iter().position(|word| part.len() >= 4 && word.contains(*part));
            let Some(at) = same.or_else(within) else { return false };
            explained[at] += if same.is_some() { found[at].len() } else { part.len() };
            true
        });
        if !all {
            continue;
        }
        let lenient = !target.ends_with("_id");
        let ignored =
            |at: usize, word: &String| lenient && explained[at] == 0 && (is_about(word) || listed(UNITS, word));
        let counted = |(at, word): (usize, &String)| if ignored(at, word) { 0 } else { word.len() };
        let total: usize = found.iter().enumerate().map(counted).sum();
        let share = explained.iter().sum::<usize>().min(total) as f64 / total.max(1) as f64 - 0.002 * rank as f64;
        if share > best.0 {
            best = (share, guess);
        }
    }
    best
}

/// Whether a table's name says that it holds a source.
fn named(table: &str, source: &str) -> bool {
    let names = known(TABLES, source);
    words(table).iter().any(|word| listed(names, word))
}

fn is_id(sample: &[String]) -> bool {
    !sample.is_empty() && sample.iter().all(|value| value.len() <= 64 && !value.contains([' ', ':', '\n', '.', ',']))
}

/// How the values of a column are written: so that nine of ten can be read.
fn written(data_type: &DataType, sample: &[String]) -> Written {
    if matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64) {
        return Written::Time;
    }
    if data_type.is_floating() || matches!(data_type, DataType::Decimal128(..) | DataType::Decimal256(..)) {
        return Written::Number { comma: false, marks: false };
    }
    let values: Vec<&str> = sample.iter().map(|value| value.trim()).filter(|value| !value.is_empty()).collect();
    let most = |test: &dyn Fn(&str) -> bool| {
        let count = values.iter().filter(|value| test(value)).count();
        !values.is_empty() && count * 10 >= values.len() * 9
    };
    let whole =
        |value: &str, from: i64, to: i64| value.parse::<i64>().is_ok_and(|number| from <= number && number < to);
    let month_and_day = |value: &str| {
        value.len() == 8 && whole(&value[4..6], 1, 13) && whole(&value[6..], 1, 32) && whole(&value[..4], 1990, 2100)
    };
    if most(&|value| value.is_ascii() && month_and_day(value)) {
        return Written::Compact;
    }
    if most(&|value| whole(value, 946_684_800, 4_102_444_800)) {
        return Written::Seconds;
    }
    if most(&|value| whole(value, 946_684_800_000, 4_102_444_800_000)) {
        return Written::Millis;
    }
    if most(&|value| value.parse::<f64>().is_ok_and(f64::is_finite)) {
        return Written::Number { comma: false, marks: false };
    }
    let iso = |value: &str| {
        let day: Vec<&str> = value.get(..10).unwrap_or_default().split('-').collect();
        day.iter().map(|part| part.len()).eq([4, 2, 2]) && whole(day[1], 1, 13) && whole(day[2], 1, 32)
    };
    if most(&iso) {
        return Written::Time;
    }
    let day = |value: &str| -> Option<[i64; 3]> {
        let day = value.split([' ', 'T']).next()?;
        let parts: Vec<i64> = day.split(['.', '/', '-']).map(|part| part.parse().ok()).collect::<Option<_>>()?;
        parts.try_into().ok()
    };
    let days: Vec<[i64; 3]> = values.iter().filter_map(|value| day(value)).collect();
    if !values.is_empty() && days.len() * 10 >= values.len() * 9 {
        let largest = |at: usize| days.iter().map(|day| day[at]).max().unwrap_or(0);
        return match (largest(0), largest(1)) {
            (1000.., ..=12) => Written::YearFirst,
            (13..=31, ..=12) => Written::Days { day_first: true, sure: true },
            (..=12, 13..=31) => Written::Days { day_first: false, sure: true },
            (..=12, ..=12) => {
                let dots = values.iter().any(|value| value.contains('.'));
                Written::Days { day_first: dots, sure: dots }
            }
            _ => Written::Other,
        };
    }
    let bare = |value: &str| -> String { value.chars().filter(|letter| "0123456789,.-".contains(*letter)).collect() };
    // A currency may stand beside a number, but an id such as c003 is none.
    let lone = |part: &str| {
        !part.is_empty() && !part.chars().any(char::is_alphabetic) && bare(part).len() + 1 >= part.chars().count()
    };
    let word = |part: &str| part.chars().count() <= 3 && !part.contains(|letter: char| letter.is_ascii_digit());
    let number = |value: &str| {
        let parts: Vec<&str> = value.split_whitespace().collect();
        parts.iter().any(|part| lone(part)) && parts.iter().all(|part| lone(part) || word(part))
    };
    if most(&|value| number(value) && value.contains(|letter: char| letter.is_ascii_digit())) {
        let marks = values.iter().any(|value| bare(value).len() < value.len());
        // The last of the two separates decimals; a comma with three digits behind it, and nothing else, thousands.
        let comma = |value: &str| {
            value.rfind(',').is_some_and(|at| value.rfind('.').is_none_or(|dot| dot < at) && value.len() - at != 4)
        };
        let comma = values.iter().any(|value| comma(&bare(value)));
        let plain = |value: &str| {
            bare(value).replace(if comma { '.' } else { ',' }, "").replace(',', ".").parse::<f64>().is_ok()
        };
        if most(&plain) {
            return Written::Number { comma, marks };
        }
    }
    Written::Other
}

/// The scale that answers are on, whether the name says so too, and what says so if it is not the name.
fn scale(table: &str, name: &str, sample: &[String]) -> Option<(&'static str, Sure, String)> {
    let answers: Vec<f64> = sample.iter().filter_map(|value| value.trim().parse().ok()).collect();
    let share = |lowest: f64, highest: f64| {
        let within =
            answers.iter().filter(|answer| answer.fract() == 0.0 && (lowest..=highest).contains(*answer)).count();
        within as f64 / sample.len().max(1) as f64
    };
    let scales = [("csat", 1.0, 5.0), ("ces", 1.0, 7.0), ("nps", 0.0, 10.0)];
    for (score, lowest, highest) in scales {
        let (like, _) = likeness(table, name, score);
        if like >= 0.6 && share(lowest, highest) >= 0.8 {
            let sure = like >= 0.9;
            let why = if sure { String::new() } else { "by a part of its name; ".to_owned() };
            return Some((score, if sure { Sure::High } else { Sure::Fair }, why));
        }
    }
    if !["score", "nps", "csat", "ces"].iter().any(|score| likeness(table, name, score).0 >= 0.6) {
        return None;
    }
    let (score, lowest, highest) = scales.into_iter().find(|(_, lowest, highest)| share(*lowest, *highest) >= 0.95)?;
    let upper = score.to_uppercase();
    let mut why = format!(
        "a score by its name, and {upper} ({lowest} to {highest}) by its answers: it is the shortest scale that has them; "
    );
    if score == "nps" && !answers.contains(&0.0) {
        why.push_str("no answer is 0, so that it may as well be another scale, of 1 to 10; ");
    }
    Some((score, if score == "csat" { Sure::Fair } else { Sure::Guess }, why))
}

/// The names of a column; one that is only called `id` is an id of what its table is about.
fn full_names(table: &str, name: &str) -> Vec<String> {
    match words(name).as_slice() {
        [only] if listed("id nr no key number uuid", only) => {
            words(table).last().map(|word| format!("{word} id")).into_iter().collect()
        }
        _ => vec![name.to_owned()],
    }
}

/// What an id is of, if its name says so.
fn concept(table: &Table, column: &Column) -> Option<&'static str> {
    let names = full_names(&table.name, &column.name);
    let like = |target: &&str| names.iter().any(|name| likeness("", name, target).0 >= 0.6);
    ["customer_id", "order_id", "product_id"].into_iter().find(like)
}

fn may_link(child: &Table, value: &Column, parent: &Table, key: &Column) -> bool {
    if value.filled == 0 || value.written == Written::Time {
        return false;
    }
    let about = concept(parent, key);
    let same = words(&value.name) == words(&key.name) && (about.is_some() || words(&key.name).len() > 1);
    if same || about.is_some() && concept(child, value) == about {
        return true;
    }
    let number = |column: &Column| column.sample.iter().all(|value| value.parse::<f64>().is_ok());
    let length = |column: &Column| {
        column.sample.iter().map(String::len).sum::<usize>() as f64 / column.sample.len().max(1) as f64
    };
    let alike = (length(value) / length(key).max(1.0) - 1.0).abs() < 0.3;
    is_id(&value.sample) && !number(value) && !number(key) && (alike || same)
}

/// The likest, and of several the first.
fn best(found: Vec<(f64, Place, Sure)>) -> Option<(f64, Place, Sure)> {
    found.into_iter().rev().max_by(|one, other| one.0.total_cmp(&other.0))
}

/// A name as SQL takes it.
fn quoted(name: &str) -> String {
    const WORDS: &str = "order group select from where user table case when end join on left right union all as and or not null in is \
        by limit offset values interval timestamp date time start value key position year month day full cross inner \
        using with desc asc distinct any some set to then else like between";
    let letters = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    if name.chars().all(letters)
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !listed(WORDS, name)
        && !name.is_empty()
    {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn choice<'a>(choices: &'a [Choice], target: &str) -> Option<&'a Choice> {
    choices.iter().find(|choice| choice.target == target)
}

impl Column {
    fn is_number(&self) -> bool {
        matches!(self.written, Written::Number { .. }) || self.data_type.is_integer()
    }

    fn is_time(&self) -> bool {
        !matches!(self.written, Written::Number { .. } | Written::Other)
    }

    /// Whether nearly every row has a value of its own; a few copies are what exports have.
    fn is_key(&self, rows: usize) -> bool {
        rows > 1 && self.filled * 20 >= rows * 19 && self.distinct * 10 >= self.filled * 9 && is_id(&self.sample)
    }

    fn is_unique(&self) -> bool {
        self.distinct == self.filled
    }

    /// Whether the values can be what a column of the contract holds.
    fn fits(&self, target: &str, kind: Kind) -> bool {
        let flag = |value: &String| FLAGS.iter().any(|(words, _)| words.contains(&value.to_lowercase().as_str()));
        match kind {
            _ if self.filled == 0 => false,
            Kind::Text if target.ends_with("_id") => self.written != Written::Time && self.distinct > 1,
            Kind::Text if target == "initiative" => !self.is_time(),
            Kind::Text => !self.is_time() && (self.distinct <= 300 || self.distinct * 20 <= self.filled),
            Kind::Instant | Kind::Day => self.is_time(),
            Kind::Month => self.written == Written::Time || self.sample.iter().all(|value| value.len() == 7),
            Kind::Money | Kind::Number | Kind::Seconds | Kind::Whole => self.is_number(),
            Kind::Flag => self.data_type == DataType::Boolean || self.sample.iter().all(flag),
            Kind::Score => false,
        }
    }

    /// What is in it, in a few words; no values of ids and of free text, which may be personal.
    fn said(&self, target: &str) -> String {
        let values = plural(self.filled, "value", "values");
        let counts = format!("{} {values}, about {} different", self.filled, self.distinct.min(self.filled));
        let unsorted = matches!(self.written, Written::Days { .. });
        if target.ends_with("_id") || unsorted || self.written == Written::Other && self.distinct > 50 {
            return counts;
        }
        let shortest = |value: &String| value.chars().take(19).collect::<String>();
        let numbers: Vec<f64> = self.sample.iter().filter_map(|value| value.parse().ok()).collect();
        let ends = if numbers.len() == self.sample.len() {
            let lowest = numbers.iter().copied().reduce(f64::min).zip(numbers.iter().copied().reduce(f64::max));
            lowest.map(|(lowest, highest)| (lowest.to_string(), highest.to_string()))
        } else {
            self.sample.iter().min().map(shortest).zip(self.sample.iter().max().map(shortest))
        };
        let (lowest, highest) = ends.unwrap_or_default();
        format!("{counts}, from {lowest:?} to {highest:?}")
    }
}

/// What people write for true and false, beside what every database reads.
const FLAGS: &[(&[&str], bool)] = &[
    (&["1", "true", "t", "yes", "y", "ja", "j", "si", "sí", "s", "oui", "o", "sim", "wahr"], true),
    (&["0", "false", "f", "no", "n", "nein", "non", "nao", "não", "falsch"], false),
];

impl Seen {
    fn at(&self, (table, column): Place) -> (&Table, &Column) {
        (&self.tables[table], &self.tables[table].columns[column])
    }

    fn places(&self, table: usize) -> impl Iterator<Item = Place> {
        (0..self.tables[table].columns.len()).map(move |column| (table, column))
    }

    fn concept(&self, place: Place) -> Option<&'static str> {
        let (table, column) = self.at(place);
        concept(table, column)
    }

    /// The links that lead from a table to each other one, at most three; joins along them make no more rows.
    fn paths(&self, from: usize) -> BTreeMap<usize, Vec<Link>> {
        let worth = |link: &Link| {
            let (one, other) = (self.at(link.from).1, self.at(link.to).1);
            link.share
                + f64::from(u8::from(other.is_unique()))
                + f64::from(u8::from(words(&one.name) == words(&other.name)))
        };
        let mut links: Vec<&Link> = self.links.iter().collect();
        links.sort_by(|one, other| worth(other).total_cmp(&worth(one)));
        let mut paths = BTreeMap::from([(from, Vec::new())]);
        let mut next = VecDeque::from([from]);
        while let Some(table) = next.pop_front() {
            let path: Vec<Link> = paths[&table].clone();
            for link in links.iter().filter(|link| link.from.0 == table && path.len() < 3) {
                if let Entry::Vacant(unknown) = paths.entry(link.to.0) {
                    unknown.insert([path.clone(), vec![(*link).clone()]].concat());
                    next.push_back(link.to.0);
                }
            }
        }
        paths
    }

    /// Where every order has a customer of its own: that key, and the column beside it whose values come back.
    fn person(&self) -> Option<(Place, Place)> {
        self.links.iter().find_map(|link| {
            let (key, reference) = (self.at(link.to).1, self.at(link.from).1);
            let of_orders = self.places(link.from.0).any(|place| {
                self.concept(place) == Some("order_id") && self.at(place).1.is_key(self.tables[place.0].rows)
            });
            if self.concept(link.to) != Some("customer_id") || !of_orders || !reference.is_unique() {
                return None;
            }
            let is_person = |place: &Place| {
                let column = self.at(*place).1;
                let comes_back = column.distinct < key.distinct && column.distinct * 10 >= key.distinct * 3;
                self.concept(*place) == Some("customer_id") && comes_back && is_id(&column.sample)
            };
            Some((link.to, self.places(link.to.0).find(is_person)?))
        })
    }

    /// The person behind what identifies a customer.
    fn person_of(&self, place: Place) -> Place {
        match self.person {
            Some((key, person))
                if place == key || self.links.iter().any(|link| link.from == place && link.to == key) =>
            {
                person
            }
            _ => place,
        }
    }

    /// How well the name of a column that can hold a column of the contract says so, if it does.
    fn named(&self, place: Place, target: &str, kind: Kind) -> Option<(f64, Place, Sure)> {
        let (table, column) = self.at(place);
        let (like, guess) = likeness(&table.name, &column.name, target);
        let full = full_names(&table.name, &column.name).into_iter().map(|name| likeness("", &name, target).0);
        let like = full.fold(like, f64::max);
        let own = column.name == target && column.filled > 0;
        if like < 0.6 || !own && !column.fits(target, kind) {
            return None;
        }
        let sure = if like >= 0.9 { Sure::High } else { Sure::Fair };
        Some(if guess { (like - 0.2, place, Sure::Guess) } else { (like, place, sure) })
    }

    /// A column of a table whose keys this table names: the order's time, its customer, a product's category.
    fn reached(&self, table: usize, source: &str, target: &str, kind: Kind) -> Option<(f64, Place, Sure)> {
        let of_order = matches!((source, target), ("sales", "ordered_at") | ("interactions", "occurred_at"));
        let others =
            matches!((source, target), ("sales" | "interactions", "customer_id") | ("sales", "category" | "currency"));
        let mut found: Vec<(f64, Place, Sure)> = Vec::new();
        for (other, path) in self.paths(table) {
            let Some(last) = path.last().filter(|_| of_order || others) else { continue };
            if of_order && self.concept(last.to) != Some("order_id") {
                continue;
            }
            let copies = path.iter().filter(|link| !self.at(link.to).1.is_unique()).count();
            let less = 0.05 * path.len() as f64 + 0.1 * copies as f64;
            let named = self.places(other).filter_map(|place| self.named(place, target, kind));
            found.extend(named.map(|(like, place, sure)| (like - less, place, sure)));
        }
        best(found)
    }

    /// The only column that can be meant, whatever it is called.
    fn only_one(&self, target: &str, free: &[Place]) -> Option<(f64, Place, Sure)> {
        let is_it = |place: &&Place| {
            let column = self.at(**place).1;
            match target {
                "ordered_at" | "occurred_at" => {
                    matches!(column.written, Written::Time | Written::YearFirst | Written::Days { .. })
                }
                "amount" => {
                    let other = words(&column.name).iter().any(|word| listed(NO_REVENUE, word));
                    column.is_number() && !other && column.sample.iter().any(|value| value.contains(['.', ',']))
                }
                "order_id" => column.is_unique() && is_id(&column.sample) && column.written != Written::Time,
                "customer_id" => {
                    self.links.iter().any(|link| link.from == **place && self.concept(link.to) == Some("customer_id"))
                }
                _ => false,
            }
        };
        let left: Vec<&Place> = free.iter().filter(is_it).collect();
        left.first().filter(|_| left.len() == 1).map(|place| (0.0, **place, Sure::Guess))
    }

    /// The column that a column of the contract is read from: by name, in the table or in one that it names keys of.
    fn find(&self, table: usize, source: &str, target: &'static str, kind: Kind, taken: &[usize]) -> Option<Choice> {
        let free: Vec<Place> = self.places(table).filter(|place| !taken.contains(&place.1)).collect();
        let by_name = || best(free.iter().filter_map(|place| self.named(*place, target, kind)).collect());
        let own = || self.only_one(target, &free);
        let reached = || self.reached(table, source, target, kind);
        // An answer has a time of its own, and not its order's; an order line may have some that are not the order's.
        let found = match source {
            "interactions" => by_name().or_else(own).or_else(reached),
            _ => by_name().or_else(reached).or_else(own),
        };
        let (like, place, sure) = found?;
        let mut why = match sure {
            Sure::High => String::new(),
            _ if like == 0.0 => "the only column that it can be; ".to_owned(),
            _ => "by a part of its name; ".to_owned(),
        };
        let person = if target == "customer_id" { self.person_of(place) } else { place };
        if person != place {
            why.push_str(&format!("{} is another one for every order; ", self.at(place).1.name));
        }
        let doubtful = matches!(self.at(person).1.written, Written::Days { sure: false, .. }) && kind != Kind::Text;
        if doubtful {
            why.push_str("whether days or months come first cannot be seen; ");
        }
        why.push_str(&self.at(person).1.said(target));
        let sure = if doubtful { Sure::Guess } else { sure };
        Some(Choice { target, kind, place: person, with: None, sure, why })
    }

    /// What of a source is in a table.
    fn assigned(&self, table: usize, source: &str) -> Vec<Choice> {
        let mut choices: Vec<Choice> = Vec::new();
        let mut taken: Vec<usize> = Vec::new();
        let columns = contract::source(source).into_iter().flat_map(|source| source.columns);
        for column in columns.filter(|column| column.kind != Kind::Score) {
            if let Some(found) = self.find(table, source, column.name, column.kind, &taken) {
                taken.extend((found.place.0 == table).then_some(found.place.1));
                choices.push(found);
            }
        }
        for place in self.places(table).filter(|place| source == "interactions" && !taken.contains(&place.1)) {
            let (of, column) = self.at(place);
            let Some((target, sure, why)) = scale(&of.name, &column.name, &column.sample) else { continue };
            choices.retain(|known| known.target != target || known.sure >= sure);
            if choice(&choices, target).is_none() {
                let why = why + &column.said(target);
                choices.push(Choice { target, kind: Kind::Score, place, with: None, sure, why });
            }
        }
        if source == "sales"
            && choice(&choices, "order_id").is_none()
            && let Some((customer, time)) = choice(&choices, "customer_id").zip(choice(&choices, "ordered_at"))
            && (customer.place.0, time.place.0) == (table, table)
        {
            let why = "no column names orders: what a customer bought at one time is taken for one".to_owned();
            let (place, with) = (customer.place, Some(time.place.1));
            choices.push(Choice { target: "order_id", kind: Kind::Text, place, with, sure: Sure::Guess, why });
        }
        let quantity = choice(&choices, "quantity").map(|quantity| quantity.place);
        for choice in &mut choices {
            let name = words(&self.at(choice.place).1.name);
            let has = |parts: &[&str]| name.iter().any(|word| parts.iter().any(|part| word.contains(part)));
            let of_one = has(&["price", "preis", "precio", "prix", "preco", "prezzo"])
                && !has(&["total", "gesamt", "line", "amount", "betrag", "sum"]);
            match (choice.target, quantity) {
                ("amount", Some((other, quantity))) if of_one && other == choice.place.0 => {
                    choice.with = Some(quantity);
                    choice.why = format!("price times quantity; {}", choice.why);
                }
                ("interaction_id", _) if !self.at(choice.place).1.is_unique() => {
                    // Under one id may be the answers to several orders; copies stay copies.
                    let order = self
                        .places(table)
                        .find(|place| *place != choice.place && self.concept(*place) == Some("order_id"));
                    choice.with = order.map(|order| order.1);
                }
                _ => {}
            }
        }
        choices
    }

    /// How much a table looks like a source; `None` if it cannot be it.
    fn points(&self, table: usize, source: &str, choices: &[Choice]) -> Option<f64> {
        let Table { name, rows, columns, .. } = &self.tables[table];
        let sure = |target: &str| choice(choices, target).map(|choice| choice.sure);
        let has = |target: &str| sure(target).is_some();
        let local = |target: &str| choice(choices, target).is_some_and(|choice| choice.place.0 == table);
        let worth = |is: bool, points: f64| if is { points } else { 0.0 };
        let required = contract::source(source)?.columns.iter().filter(|column| column.presence == Presence::Required);
        if *rows == 0 || !required.into_iter().all(|column| has(column.name)) {
            return None;
        }
        let is_of = |about: &str| self.places(table).any(|place| self.concept(place) == Some(about));
        let is_named = named(name, source);
        let scored = columns.iter().any(|column| scale(name, &column.name, &column.sample).is_some());
        let points = match source {
            "control_totals" => {
                let monthly = choice(choices, "month").is_some_and(|month| self.at(month.place).1.is_unique());
                worth(
                    monthly
                        && *rows <= 1_200
                        && !is_of("customer_id")
                        && !is_of("order_id")
                        && (is_named || columns.len() <= 4),
                    1.0,
                )
            }
            "assignments" => {
                worth(sure("initiative") > Some(Sure::Guess) && (is_named || sure("arm") > Some(Sure::Guess)), 1.0)
            }
            "initiatives" => {
                let known = is_named || sure("initiative") > Some(Sure::Guess);
                worth(known && *rows <= 5_000 && !is_of("customer_id") && !is_of("order_id") && !scored, 1.0)
            }
            "sales" => {
                let amount = match sure("amount")? {
                    Sure::Guess => 2.0,
                    Sure::Fair => 4.0,
                    Sure::High => 5.0,
                };
                let where_ = |target| if local(target) { 1.0 } else { worth(has(target), 0.5) };
                amount
                    + where_("ordered_at")
                    + where_("customer_id")
                    + worth(is_named, 2.0)
                    + worth(has("product_id"), 1.0)
                    + worth(has("line_id"), 0.5)
                    - worth(sure("order_id") == Some(Sure::Guess), 1.5)
                    - worth(scored, 4.0)
                    - worth(named(name, "customers") && !is_named, 4.0)
                    - worth(named(name, "interactions") && !is_named, 2.0)
            }
            "customers" => {
                let key = choice(choices, "customer_id").is_some_and(|id| {
                    let column = self.at(id.place).1;
                    column.distinct * 10 >= column.filled * 8 && column.filled * 10 >= *rows * 9
                });
                worth(
                    key,
                    worth(is_named, 3.0) + worth(has("segment"), 1.0) + worth(has("acquired_at"), 1.0)
                        - worth(is_of("order_id"), 4.0),
                )
            }
            _ => {
                let said = choices
                    .iter()
                    .filter(|choice| !matches!(choice.target, "customer_id" | "occurred_at" | "interaction_id"));
                let other = named(name, "sales") || is_of("order_id") && !is_named;
                worth(scored || is_named && !other || said.count() >= 2 && !other, 1.0 + worth(scored, 1.0))
            }
        };
        (points > 0.0).then_some(points)
    }

    fn names(&self, table: usize) -> Vec<&str> {
        self.tables[table].columns.iter().map(|column| column.name.as_str()).collect()
    }

    /// Which tables are which source: one each, but all that hold interactions.
    fn sources(&self) -> Sources {
        let mut sources = Sources::new();
        let mut free: BTreeSet<usize> = (0..self.tables.len()).collect();
        for source in ["control_totals", "assignments", "initiatives", "sales", "customers", "interactions"] {
            let mut found: Vec<(f64, usize, Vec<Choice>)> = Vec::new();
            for table in &free {
                let choices = self.assigned(*table, source);
                found.extend(self.points(*table, source, &choices).map(|points| (points, *table, choices)));
            }
            found.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
            // Of other sources the likest table, and those with the same columns, as a file a year.
            let first = found.first().map(|(_, table, _)| self.names(*table));
            found.retain(|(_, table, _)| source == "interactions" || first.as_ref() == Some(&self.names(*table)));
            for (_, table, choices) in found {
                free.remove(&table);
                sources.entry(source).or_default().push((table, choices));
            }
        }
        sources
    }

    /// What SQL calls a table once it is configured.
    fn raw(&self, table: usize, sources: &Sources) -> String {
        let first = sources.iter().find(|(_, parts)| parts[0].0 == table);
        let name = &self.tables[table].name;
        match first {
            Some((source, _)) => (*source).to_owned(),
            None if contract::source(name).is_some() => format!("{name}_table"),
            None => name.clone(),
        }
    }

    /// The joins that the choices of a table need, in order.
    fn joins(&self, table: usize, choices: &[Choice]) -> Vec<Link> {
        let paths = self.paths(table);
        let mut joins: Vec<Link> = Vec::new();
        for link in choices.iter().filter_map(|choice| paths.get(&choice.place.0)).flatten() {
            if joins.iter().all(|known| known.to.0 != link.to.0) {
                joins.push(link.clone());
            }
        }
        joins
    }

    /// The SQL of a choice.
    fn expression(&self, choice: &Choice, qualified: bool) -> String {
        let (table, column) = self.at(choice.place);
        let name = |column: &Column| match qualified {
            true => format!("{}.{}", quoted(&table.name), quoted(&column.name)),
            false => quoted(&column.name),
        };
        let raw = name(column);
        let number = |column: &Column| {
            let mut text = name(column);
            if let Written::Number { comma, marks } = column.written
                && !column.data_type.is_numeric()
            {
                text = if marks { format!("regexp_replace({text}, '[^0-9,.-]', '', 'g')") } else { text };
                // What is not written as the others is left as it is: it is read as it stands, or rejected, and never as another amount.
                text = match comma {
                    true => format!(
                        "case when regexp_like({text}, '{DECIMAL_COMMA}') then replace(replace({text}, '.', ''), ',', '.') \
                         else {text} end"
                    ),
                    false if column.sample.iter().any(|value| value.contains(',')) => {
                        format!(
                            "case when regexp_like({text}, '{DECIMAL_POINT}') then replace({text}, ',', '') else {text} end"
                        )
                    }
                    false => text,
                };
            }
            text
        };
        let with = choice.with.map(|with| &table.columns[with]);
        let named = words(&column.name);
        let says = |parts: &[&str]| named.iter().any(|word| parts.contains(&word.as_str()));
        // A day or month of one digit gets a zero.
        let padded = format!("regexp_replace({raw}, '\\b([0-9])\\b', '0\\1', 'g')");
        let day = |order: &str| {
            let parts = if order.starts_with("\\1") { ["4", "2", "2"] } else { ["2", "2", "4"] };
            let parts = parts.map(|digits| format!("([0-9]{{{digits}}})")).join("[./-]");
            format!("regexp_replace({padded}, '^\\s*{parts}', '{order}')")
        };
        match (choice.kind, column.written) {
            (Kind::Text, _) if column.data_type.is_floating() => format!("cast(cast({raw} as bigint) as varchar)"),
            (Kind::Text, _) => match with {
                Some(other) => {
                    format!("cast({raw} as varchar) || '/' || coalesce(cast({} as varchar), '')", name(other))
                }
                None => raw,
            },
            (Kind::Instant | Kind::Day, Written::YearFirst) => day("\\1-\\2-\\3"),
            (Kind::Instant | Kind::Day, Written::Days { day_first: true, .. }) => day("\\3-\\2-\\1"),
            (Kind::Instant | Kind::Day, Written::Days { .. }) => day("\\3-\\1-\\2"),
            (Kind::Instant | Kind::Day, Written::Compact) => {
                format!(
                    "regexp_replace(cast({raw} as varchar), '^([0-9]{{4}})([0-9]{{2}})([0-9]{{2}})$', '\\1-\\2-\\3')"
                )
            }
            (Kind::Instant | Kind::Day, Written::Seconds) => {
                format!("to_timestamp_seconds(try_cast({raw} as bigint)) at time zone 'UTC'")
            }
            (Kind::Instant | Kind::Day, Written::Millis) => {
                format!("to_timestamp_millis(try_cast({raw} as bigint)) at time zone 'UTC'")
            }
            (Kind::Money, _) => {
                let money = |column: &Column| format!("try_cast({} as decimal(18, 4))", number(column));
                let amount = match with {
                    Some(quantity) => format!("{} * {}", money(column), money(quantity)),
                    None => number(column),
                };
                let cents = says(&["cent", "cents", "minor", "pence", "centavos", "rappen"]);
                if cents { format!("{} / 100", if with.is_some() { amount } else { money(column) }) } else { amount }
            }
            (Kind::Seconds, _) if says(&["min", "minutes", "minuten", "minutos", "mins"]) => {
                format!("try_cast({} as double) * 60", number(column))
            }
            (Kind::Seconds, _) if says(&["ms", "millis", "milliseconds"]) => {
                format!("try_cast({} as double) / 1000", number(column))
            }
            (Kind::Seconds | Kind::Number | Kind::Whole, _) => number(column),
            (Kind::Flag, _) if column.data_type != DataType::Boolean && !column.data_type.is_integer() => {
                let cases = FLAGS.iter().map(|(words, flag)| {
                    let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
                    format!("when lower(cast({raw} as varchar)) in ({}) then {flag}", words.join(", "))
                });
                let known = ["0", "1", "true", "false", "yes", "no", "y", "n", "t", "f"];
                match column.sample.iter().all(|value| known.contains(&value.to_lowercase().as_str())) {
                    true => raw,
                    false => format!("case {} end", cases.collect::<Vec<_>>().join(" ")),
                }
            }
            _ => raw,
        }
    }

    /// The staging file of a source; `None` where every column is there by its own name.
    fn staging(&self, source: &str, parts: &[(usize, Vec<Choice>)], sources: &Sources) -> Option<String> {
        let contract = contract::source(source)?;
        let own = |choice: &Choice| {
            self.at(choice.place).1.name == choice.target && self.expression(choice, false) == quoted(choice.target)
        };
        let [(first, choices), ..] = parts else { return None };
        let spelled = |name: &str| name.to_lowercase().replace(['_', ' ', '-'], "");
        let alike = |place: Place| {
            let name = &self.at(place).1.name;
            contract.columns.iter().any(|column| column.name != name && spelled(column.name) == spelled(name))
        };
        let all = contract.columns.iter().filter(|column| column.presence != Presence::Optional);
        let all = all.into_iter().all(|column| choice(choices, column.name).is_some());
        if parts.len() == 1
            && all
            && choices.iter().all(|choice| choice.place.0 == *first && own(choice))
            && !self.places(*first).any(alike)
        {
            return None;
        }
        let several = parts.iter().any(|(table, _)| self.names(*table) != self.names(*first));
        let wanted = contract.columns.iter().map(|column| column.name).filter(|name| {
            let nullable =
                contract.columns.iter().any(|column| column.name == *name && column.presence == Presence::Nullable);
            nullable
                || *name == "channel" && several
                || parts.iter().any(|(_, choices)| choice(choices, name).is_some())
        });
        // Where tables do not agree on a type, all of them hand text to the contract, which reads it.
        let shape = |choices: &[Choice], name: &str| {
            let found = choice(choices, name)?;
            let column = self.at(found.place).1;
            Some((column.data_type.clone(), column.written, found.with.is_some()))
        };
        let differ = |name: &str| parts.iter().any(|(_, other)| shape(other, name) != shape(choices, name));
        let wanted: Vec<(&str, bool)> = wanted.map(|name| (name, differ(name))).collect();
        let selects = parts.iter().map(|(table, choices)| self.select(*table, choices, &wanted, several, sources));
        let mut text =
            format!("-- Written by `cxroi init`: {source} as a person would begin; what is only a guess says so.\n");
        for sentence in if source == "sales" { self.left_out(*first, choices) } else { Vec::new() } {
            text.push_str(&format!("-- {sentence}\n"));
        }
        text.push_str(&selects.collect::<Vec<_>>().join("union all\n"));
        Some(text)
    }

    /// What a reader of the amount may miss: money beside it, and what became of orders.
    fn left_out(&self, table: usize, choices: &[Choice]) -> Vec<String> {
        let used = |place: &Place| choices.iter().any(|choice| choice.place == *place);
        let joined = self.joins(table, choices).into_iter().map(|link| link.to.0);
        let tables: Vec<usize> = [table].into_iter().chain(joined).collect();
        let beside = |listing: &str| {
            let places = tables.iter().flat_map(|table| self.places(*table)).filter(|place| !used(place));
            let names = places.map(|place| self.at(place).1.name.clone());
            names.filter(|name| words(name).iter().any(|word| listed(listing, word))).collect::<Vec<_>>().join(", ")
        };
        let sentences = [
            (
                "Net revenue is without freight and taxes; not added to the amount",
                beside("freight shipping tax taxes vat mwst ust steuer versand versandkosten tip"),
            ),
            (
                "Net revenue is after discounts; not taken off the amount",
                beside("discount discounts rabatt descuento desconto remise sconto"),
            ),
            ("Orders count whatever they became", beside("status cancelled canceled returned storniert")),
        ];
        let known = sentences.into_iter().filter(|(_, names)| !names.is_empty());
        known.map(|(sentence, names)| format!("{sentence}: {names}.")).collect()
    }

    fn select(
        &self,
        table: usize,
        choices: &[Choice],
        wanted: &[(&str, bool)],
        several: bool,
        sources: &Sources,
    ) -> String {
        let joins = self.joins(table, choices);
        let qualified = !joins.is_empty();
        let name = self.tables[table].name.replace('\'', "''");
        let mut sql = "select\n".to_owned();
        for (target, as_text) in wanted {
            let (expression, guess) = match choice(choices, target) {
                Some(choice) => {
                    let guess = (choice.sure == Sure::Guess).then(|| choice.why.clone());
                    let expression = self.expression(choice, qualified);
                    // The first answer and the first call are not copies of each other.
                    let numbered = several && *target == "interaction_id";
                    let of_table = format!("'{name}/' || cast({expression} as varchar)");
                    (if numbered { of_table } else { expression }, guess)
                }
                // Where interactions are in several tables, the table is how they came.
                None if *target == "channel" => (format!("'{name}'"), Some("the name of the table".to_owned())),
                None => ("null".to_owned(), None),
            };
            let expression = if *as_text { format!("cast({expression} as varchar)") } else { expression };
            let renamed = if expression == quoted(target) { expression } else { format!("{expression} as {target}") };
            let guess = guess.map(|why| format!("  -- guess: {why}")).unwrap_or_default();
            let line = format!("    {renamed},{guess}\n");
            sql.push_str(&line);
        }
        let raw = |table: usize| format!("raw.{}", quoted(&self.raw(table, sources)));
        let alias = |table: usize| quoted(&self.tables[table].name);
        sql.push_str(&format!("from {}", raw(table)));
        if qualified {
            sql.push_str(&format!(" as {}", alias(table)));
        }
        for link in &joins {
            let ((_, one), (_, other)) = (self.at(link.from), self.at(link.to));
            let key = quoted(&other.name);
            let joined = if other.is_unique() {
                raw(link.to.0)
            } else {
                // Some keys come twice: one row each, or money would double.
                let chosen = choices.iter().map(|choice| choice.place).chain(joins.iter().map(|link| link.from));
                let columns: BTreeSet<usize> =
                    chosen.filter(|place| place.0 == link.to.0 && *place != link.to).map(|place| place.1).collect();
                let columns = columns.into_iter().map(|column| quoted(&self.at((link.to.0, column)).1.name));
                let columns: String = columns.map(|name| format!(", min({name}) as {name}")).collect();
                format!("(select {key}{columns} from {} group by {key})", raw(link.to.0))
            };
            let sides = [(link.to.0, other), (link.from.0, one)]
                .map(|(table, column)| format!("{}.{}", alias(table), quoted(&column.name)));
            let [left, right] = if one.data_type == other.data_type {
                sides
            } else {
                sides.map(|side| format!("cast({side} as varchar)"))
            };
            sql.push_str(&format!("\nleft join {joined} as {} on {left} = {right}", alias(link.to.0)));
        }
        sql.push('\n');
        sql
    }

    fn configuration(
        &self,
        lake: &Url,
        folder: &Path,
        sources: &Sources,
        currencies: &[String],
        staging: bool,
    ) -> String {
        let text = |value: &str| serde_json::Value::from(value).to_string();
        let place = |table: usize| {
            let url = &self.tables[table].url;
            let path = url.to_file_path().ok().filter(|_| url.scheme() == "file");
            let Some(path) = path else { return text(url.as_str()) };
            let folder_of_files = if path.is_dir() { "/" } else { "" };
            let path = relative(&path, folder).unwrap_or(path);
            text(&format!("{}{folder_of_files}", path.display().to_string().trim_end_matches('/')))
        };
        let zones = sources.values().flatten().flat_map(|(_, choices)| choices).filter_map(|choice| {
            match &self.at(choice.place).1.data_type {
                DataType::Timestamp(_, Some(zone)) if zone.contains('/') => Some(zone.to_string()),
                _ => None,
            }
        });
        let zone = zones.into_iter().next();
        let (zone, known) = match zone {
            Some(zone) => (zone, "the zone of the timestamps"),
            None => ("UTC".to_owned(), "guess: months are local months of this zone; set yours, as \"Europe/Rome\""),
        };
        let (currency, sure) = match currencies {
            [one] => (one.as_str(), "the only one of the sales"),
            [] => ("EUR", "guess: no column says it; set yours, as the sales are to be understood"),
            [first, ..] => (
                first.as_str(),
                "guess: sales have several, and only one can be read; select it in sql/staging/sales.sql",
            ),
        };
        let mut config = format!(
            "# Written by `cxroi init` from {lake}\ntimezone = {}  # {known}\ncurrency = {}  # {sure}\n\n[lake]\n",
            text(&zone),
            text(currency)
        );
        for (source, parts) in sources {
            config.push_str(&format!("{source} = {}\n", place(parts[0].0)));
        }
        let first: BTreeSet<usize> = sources.values().map(|parts| parts[0].0).collect();
        let joined =
            sources.values().flatten().flat_map(|(table, choices)| self.joins(*table, choices)).map(|link| link.to.0);
        let used: BTreeSet<usize> = sources.values().flatten().map(|(table, _)| *table).chain(joined).collect();
        if first.len() < self.tables.len() {
            config.push_str("\n[raw]\n");
        }
        for table in (0..self.tables.len()).filter(|table| !first.contains(table)) {
            let unused = if used.contains(&table) { "" } else { "# not needed: " };
            let name = self.raw(table, sources);
            let bare = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
            let name = if bare { name } else { text(&name) };
            config.push_str(&format!("{unused}{name} = {}\n", place(table)));
        }
        config.push_str("\n[output]\nurl = \"out/\"\n");
        if staging {
            config.push_str("\n[sql]\noverlay = \"sql/\"\n");
        }
        config
            .push_str("\n# [method]\n# naive_timezone = \"Europe/Rome\"  # where times name no zone and are not UTC\n");
        config
    }

    /// Every choice with its reason, and what was not found.
    fn said(&self, sources: &Sources, currencies: &[String]) -> String {
        let mut text = String::new();
        let mut line = |parts: &[&str]| {
            let [target, from, sure, why] = [0, 1, 2, 3].map(|at| parts.get(at).copied().unwrap_or_default());
            writeln!(text, "{}", format!("{target:<20} {from:<44} {sure:<6} {why}").trim_end())
                .expect("a text takes text");
        };
        for (source, parts) in sources {
            for (table, choices) in parts {
                let Table { name, rows, .. } = &self.tables[*table];
                line(&[source, name, "", &format!("{rows} {}", plural(*rows, "row", "rows"))]);
                for choice in choices {
                    let (of, column) = self.at(choice.place);
                    let with = choice.with.map(|with| format!(" and {}", of.columns[with].name)).unwrap_or_default();
                    let sure = match choice.sure {
                        Sure::Guess => "guess",
                        Sure::Fair => "fair",
                        Sure::High => "high",
                    };
                    line(&[
                        &format!("  {}", choice.target),
                        &format!("{}.{}{with}", of.name, column.name),
                        sure,
                        &choice.why,
                    ]);
                }
                for link in self.joins(*table, choices) {
                    let ((child, one), (parent, other)) = (self.at(link.from), self.at(link.to));
                    let share = format!("{:.0} % of the values are there", 100.0 * link.share);
                    line(&[
                        "  joined by",
                        &format!("{}.{} = {}.{}", child.name, one.name, parent.name, other.name),
                        "",
                        &share,
                    ]);
                }
                let columns = contract::source(source).into_iter().flat_map(|source| source.columns);
                let missing = columns.map(|column| column.name).filter(|name| choice(choices, name).is_none());
                let used = |place: &Place| {
                    choices.iter().any(|choice| {
                        choice.place == *place || choice.place.0 == place.0 && choice.with == Some(place.1)
                    })
                };
                let left: Vec<&str> = self
                    .places(*table)
                    .filter(|place| !used(place))
                    .map(|place| self.at(place).1.name.as_str())
                    .collect();
                for sentence in if *source == "sales" { self.left_out(*table, choices) } else { Vec::new() } {
                    line(&["  note", &sentence]);
                }
                if *source == "interactions" && choice(choices, "customer_id").is_none() {
                    line(&["  note", "No column says who answered: without customer_id no answer counts in a score."]);
                }
                for (what, names) in [("  not found", missing.collect::<Vec<_>>()), ("  not read", left)] {
                    if !names.is_empty() {
                        line(&[what, &names.join(", ")]);
                    }
                }
            }
        }
        for source in contract::SOURCES.iter().filter(|source| !sources.contains_key(source.name)) {
            line(&[source.name, "no table looks like it"]);
        }
        if currencies.len() > 1 {
            line(&[
                "currencies",
                &currencies.join(", "),
                "",
                "only one can be configured: choose in sql/staging/sales.sql",
            ]);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, sample: &[&str], distinct: usize) -> Column {
        let sample: Vec<String> = sample.iter().map(|value| (*value).to_owned()).collect();
        let written = written(&DataType::Utf8View, &sample);
        Column { name: name.to_owned(), data_type: DataType::Utf8View, filled: 1_000, distinct, sample, written }
    }

    fn table(name: &str, columns: Vec<Column>) -> Table {
        let url = Url::parse(&format!("s3://shop/{name}/")).unwrap();
        Table { name: name.to_owned(), url, rows: 1_000, columns }
    }

    #[test]
    fn a_lake_nearby_is_named_as_seen_from_the_configuration() {
        for (path, folder, want) in [
            ("/work/shop/exports/orders.csv", "/work/shop", Some("exports/orders.csv")),
            ("/work/exports/orders.csv", "/work/shop", Some("../exports/orders.csv")),
            ("/work/exports/orders", "/work/shops/mine", Some("../../exports/orders")),
            ("/work/exports", "/work/exports/guessed", Some("..")),
            ("/work/exports", "/work/exports", Some(".")),
            ("/work/exports/orders.csv", "/work/shops/of/mine", None),
            ("/data/orders.csv", "/work", None),
            ("/data/orders.csv", "/", Some("data/orders.csv")),
        ] {
            assert_eq!(relative(Path::new(path), Path::new(folder)), want.map(PathBuf::from), "{path} from {folder}");
        }
    }

    #[test]
    fn names_in_several_languages_are_known() {
        for (name, target) in [
            ("Kunden-Nr", "customer_id"),
            ("CustomerID", "customer_id"),
            ("id_cliente", "customer_id"),
            ("Rechnungsnummer", "order_id"),
            ("InvoiceDate", "ordered_at"),
            ("Bestelldatum", "ordered_at"),
            ("Nettobetrag", "amount"),
            ("order_item_id", "line_id"),
            ("Weiterempfehlung", "nps"),
        ] {
            assert!(likeness("", name, target).0 >= 0.6, "{name}");
        }
        for (name, target) in [
            ("customer_state", "customer_id"),
            ("freight_value", "amount"),
            ("order_status", "order_id"),
            ("mwst_betrag", "amount"),
        ] {
            assert!(likeness("", name, target).0 < 0.6, "{name}");
        }
    }

    #[test]
    fn what_is_written_is_told_from_the_values() {
        let number = |comma, marks| Written::Number { comma, marks };
        for (values, want) in [
            ("12.50|-3", number(false, false)),
            ("1.234,50|-3,5", number(true, false)),
            ("12,50 €", number(true, true)),
            ("1,234.50", number(false, false)),
            ("2024-12-31|2024-12-31T10:15:00Z", Written::Time),
            ("31.12.2024|1.2.2024 9:15", Written::Days { day_first: true, sure: true }),
            ("12/1/2010 8:26|12/31/2010 9:00", Written::Days { day_first: false, sure: true }),
            ("1/2/2024|3/4/2024", Written::Days { day_first: false, sure: false }),
            ("EUR 12.50|EUR 3", number(false, true)),
            ("c003|c004", Written::Other),
            ("20241231", Written::Compact),
            ("1577836800", Written::Seconds),
            ("1577836800000", Written::Millis),
            ("phone|web", Written::Other),
        ] {
            let sample: Vec<String> = values.split('|').map(str::to_owned).collect();
            assert_eq!(written(&DataType::Utf8View, &sample), want, "{values}");
        }
    }

    #[test]
    fn the_scale_is_told_from_the_answers() {
        let answers = |from: i64, to: i64| (from..=to).map(|answer| answer.to_string()).collect::<Vec<_>>();
        let told = |name: &str, from: i64, to: i64| scale("survey", name, &answers(from, to));
        assert_eq!(scale("reviews", "review_score", &answers(1, 5)), Some(("csat", Sure::High, String::new())));
        assert_eq!(told("customer_effort_score", 1, 7), Some(("ces", Sure::High, String::new())));
        assert_eq!(told("nps", 0, 100), None);
        assert_eq!(told("age", 1, 5), None);
        for (to, want, scale) in [(5, ("csat", Sure::Fair), "1 to 5"), (7, ("ces", Sure::Guess), "1 to 7")] {
            let (score, sure, why) = told("score", 1, to).unwrap();
            assert_eq!((score, sure), want);
            assert!(why.contains(scale), "{why}");
        }
        for (from, doubted) in [(0, false), (1, true)] {
            let (score, sure, why) = told("score", from, 10).unwrap();
            assert_eq!((score, sure), ("nps", Sure::Guess));
            assert!(why.contains("NPS (0 to 10)") && why.contains("another scale, of 1 to 10") == doubted, "{why}");
        }
    }

    /// As Olist's: lines name orders, orders a customer of their own, and a column beside that is the person.
    fn shop() -> Seen {
        let order = ["a1", "a2", "a3"];
        let tables = vec![
            table(
                "items",
                vec![
                    column("order_id", &order, 700),
                    column("price", &["1.50", "2"], 90),
                    column("freight_value", &["1.5"], 9),
                ],
            ),
            table(
                "orders",
                vec![
                    column("order_id", &order, 1_000),
                    column("customer_id", &["c1", "c2"], 1_000),
                    column("order_purchase_timestamp", &["2024-12-31 10:15:00"], 990),
                ],
            ),
            table(
                "customers",
                vec![
                    column("customer_id", &["c1", "c2"], 1_000),
                    column("customer_unique_id", &["p1", "p2"], 950),
                    column("customer_state", &["SP", "RJ"], 27),
                ],
            ),
        ];
        let link = |from, to| Link { from, to, share: 1.0 };
        let mut seen = Seen { tables, links: vec![link((0, 0), (1, 0)), link((1, 1), (2, 0))], person: None };
        seen.person = seen.person();
        seen
    }

    #[test]
    fn a_customer_is_the_person_behind_the_order() {
        let seen = shop();
        assert_eq!(seen.person, Some(((2, 0), (2, 1))));
        let sources = seen.sources();
        let sales = seen.staging("sales", &sources["sales"], &sources).unwrap();
        for part in [
            "customers.customer_unique_id as customer_id,",
            "orders.order_purchase_timestamp as ordered_at,",
            "items.price as amount,",
            "from raw.sales as items\nleft join raw.orders as orders on orders.order_id = items.order_id\n\
             left join raw.customers as customers on customers.customer_id = orders.customer_id\n",
        ] {
            assert!(sales.contains(part), "{part}\nnot in\n{sales}");
        }
        assert!(sales.contains("not added to the amount: freight_value"), "{sales}");
    }

    #[test]
    fn answers_and_calls_are_one_source() {
        let answers = [column("customer_id", &["a", "b"], 300), column("date", &["2024-12-31"], 300)];
        let more = [column("answer_id", &["1", "2"], 1_000), column("nps", &["3", "10"], 11)];
        let answers = answers.into_iter().chain(more).collect();
        let calls = [column("customer_id", &["a", "b"], 300), column("called_at", &["2024-12-31 10:15:00"], 300)];
        let calls = calls.into_iter().chain([column("duration_min", &["3", "12"], 30)]).collect();
        let seen = Seen { tables: vec![table("answers", answers), table("calls", calls)], ..Seen::default() };
        let sources = seen.sources();
        let interactions = seen.staging("interactions", &sources["interactions"], &sources).unwrap();
        for part in [
            "    \"date\" as occurred_at,\n    cast('answers/' || cast(answer_id as varchar) as varchar) as interaction_id,\n",
            "    'answers' as channel,  -- guess",
            "cast(nps as varchar) as nps,\n    cast(null as varchar) as handle_seconds,\nfrom raw.interactions\nunion all\n",
            "cast(null as varchar) as nps,\n    cast(try_cast(duration_min as double) * 60 as varchar) as handle_seconds,\n",
            "from raw.calls\n",
        ] {
            assert!(interactions.contains(part), "{part}\nnot in\n{interactions}");
        }
    }

    #[test]
    fn own_names_need_no_staging_file() {
        let columns = ["customer_id", "order_id"].map(|name| column(name, &["a", "b"], 900));
        let more = [column("ordered_at", &["2024-12-31"], 300), column("amount", &["1.50"], 300)];
        let seen = Seen { tables: vec![table("sales", columns.into_iter().chain(more).collect())], ..Seen::default() };
        let sources = seen.sources();
        assert_eq!(seen.staging("sales", &sources["sales"], &sources), None);
    }
}
