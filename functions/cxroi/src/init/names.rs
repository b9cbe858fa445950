//! What people call tables and columns, and how much of a name that explains.

/// What people call the columns of the contract in English, German, Spanish, Portuguese, French, Italian and Dutch, without
/// accents and best first. The words of one name may stand in any order and within longer words.
const NAMES: &str = "
customer_id: customer id, customer no, customer nr, customer number, customer key, customer, client id, client no,
    client, cust id, cust no, cust, kunden id, kunden nr, kunden nummer, kunde, user id, user, account id, account no,
    account, party id, party, member id, member, person id, buyer id, buyer, shopper id, subscriber id, guest id,
    contact id, requester id, respondent id, respondent, kd nr, cliente id, cliente, consumer id,
    cod cliente, codigo cliente, codice cliente, num cliente, numero cliente, code client, num client, numero client,
    klant id, klant nr, klant nummer, klant;
order_id: order id, order no, order nr, order number, order, invoice id, invoice no, invoice number, invoice,
    transaction id, transaction no, transaction, receipt id, receipt no, receipt, purchase id, basket id, bestell id,
    bestell nr, bestell nummer, bestellung, auftrags nr, auftrags nummer, auftrag, rechnungs nr, rechnungs nummer,
    rechnung, beleg nr, beleg nummer, bon nr, bill id, bill no, bill number, bill, commande id, commande, pedido id, pedido, factura id, factura, fattura, ordine,
    num pedido, numero pedido, num factura, numero factura, num ticket, numero ticket, num commande, numero commande,
    facture, num facture, numero facture, num ordine, numero ordine, numero fattura, fatura, encomenda, bestelling,
    bestel nummer, bestel nr, factuur, factuur nummer, id, ~ticket;
ordered_at: ordered at, order purchase timestamp, purchase timestamp, order date, order time, purchase date, purchased
    at, sold at, sale date, sales date, invoice date, transaction date, transaction time, booked at, booking date,
    placed at, bestell datum, kauf datum, rechnungs datum, auftrags datum, beleg datum, fecha pedido, data pedido,
    date commande, fecha hora, fecha venta, fecha compra, fecha factura, data ordine, data ora, data hora, data compra,
    data venda, data vendita, data fattura, date achat, date vente, date facture, bestel datum, order datum, fecha,
    datum, order created at, created at, created, bill date,
    billed at, order timestamp, timestamp, ts, date, data, time;
amount: amount, net amount, net revenue, revenue, net sales, line total net, line total, line amount, item total, net
    total, sales amount, order amount, order total, order value, payment value, total amount, subtotal, netto umsatz,
    umsatz, netto betrag, netto preis, netto, betrag, summe, gesamt preis, gesamt, importe neto, importe, montant ht, montant net,
    montant, valor liquido, valor, importo netto, importo, netto bedrag, bedrag, omzet, fatturato, turnover, total, total price, value, sales, paid, price, preis, precio, prix, preco, prezzo, unit
    price, einzel preis, stuck preis, precio unitario, prix unitaire, net price, net value, gross amount, gross
    total, grand total, brutto betrag, brutto, cents;
line_id: line id, line no, line nr, line number, order item id, order line id, item no, item number, position,
    positions nr, pos, line, zeile, ligne, num ligne, numero ligne, no ligne, linea, num linea, numero linea, riga, num
    riga, numero riga, linha, num linha, regel, regel nummer, regel nr, sequence, seq, id;
product_id: product id, product no, product code, product sku, sku, product, item id, item code, article id, article
    no, artikel nr, artikel nummer, artikel id, artikel, stock code, ean, asin, produkt id, produkt nr, produkt,
    produit, producto, produto, prodotto;
category: category, product category name, product category, category name, department, product group, waren gruppe,
    produkt gruppe, kategorie, categoria, categorie, product line, family, sparte,
    familia, famille, famiglia;
quantity: quantity, qty, units, pieces, menge, anzahl, stuck, cantidad, quantite, quantidade, quantita, unidades,
    aantal;
margin: margin, gross margin, gross profit, contribution margin, profit, marge, margen, margem, rohertrag, deckungs
    beitrag;
currency: currency, currency code, curr, ccy, wahrung, waehrung, moneda, devise, moeda, valuta;
occurred_at: occurred at, answered at, answer timestamp, responded at, response date, response time stamp, submitted
    at, survey date, contacted at, called at, call time, call date, started at, start time, event time, event date,
    event timestamp, opened at, zeitpunkt, antwort datum, kontakt datum, created at, created, submitted, creation date,
    fecha hora, data ora, data hora, abierta, abierto, respondida, respondido, timestamp, ts, date, datum, fecha, data, time;
interaction_id: interaction id, response id, review id, survey id, answer id, feedback id, ticket id, ticket no, call
    id, case id, contact id, chat id, session id, event id, antwort nr, antwort id, kontakt nr, vorgangs nr,
    encuesta id, incidencia id, caso id, caso, enquete id, sondaggio id, id;
channel: channel, contact channel, kanal, canal, canale, kanaal, contact medium, medium, contact type, via;
touchpoint: touchpoint, touch point, kontakt punkt, beruhrungs punkt, topic, contact reason, reason, anlass, thema,
    motivo, page;
stage: stage, journey stage, phase, etapa, etape;
device: device, device type, gerat, geraet, platform, dispositivo;
nps: nps, nps score, note nps, nota nps, likelihood to recommend, likelihood, recommend, recommendation, weiterempfehlung, empfehlung, recomendacion,
    recomendacao, ltr;
csat: csat, csat score, csat rating, satisfaction, satisfaction score, satisfaction rating, zufriedenheit, satisfaccion, satisfacao, soddisfazione,
    review score, stars, star rating;
ces: ces, ces score, effort, effort score, customer effort score, aufwand, esfuerzo, esforco;
score: score, rating, bewertung, note, nota, answer, antwort, puntuacion, grade, punkte, stars, wert;
service_cost: service cost, contact cost, handling cost, cost, service kosten, bearbeitungs kosten, kosten, costo,
    coste, custo, cout;
handle_seconds: handle seconds, handle time, handling time, handling seconds, talk time, call duration, duration,
    bearbeitungs zeit, dauer, duracion, duracao, duree, segundos
    gestion, aht;
response_seconds: response seconds, response time, first response time, first response, first reply time, first reply, wait time, waiting time, wait
    seconds, warte zeit, antwort zeit;
escalated: escalated, escalation, eskaliert, eskalation, escalado, escalada;
pages_viewed: pages viewed, page views, pageviews, pages;
session_seconds: session seconds, session duration, session length, time on site;
converted: converted, conversion, konvertiert;
task_completed: task completed, task success, completed task;
task_error: task error, task failed;
task_abandoned: task abandoned, abandoned;
task_seconds: task seconds, task duration, task time;
consent: consent, opt in, optin, marketing consent, einwilligung, zustimmung, consentement, consentimiento, consenso;
segment: segment, customer segment, kunden segment, segmento, segmento cliente, segment client, klant segment, tier, customer group, kunden gruppe, customer type,
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
    purchase purchases receipts umsatz umsatze verkauf verkaufe bestellung bestellungen rechnungen ventas venta
    pedidos facturas lineas cabecera cabeceras vendas faturas encomendas linhas commandes ventes factures lignes vendite ordini
    fatture righe bestellingen verkopen facturen regels;
interactions: interaction interactions review reviews survey surveys feedback response responses answer answers ticket
    tickets call calls contact contacts chat chats case cases session sessions event events visits nps csat complaints
    umfrage umfragen kontakt kontakte bewertung bewertungen befragung anrufe antworten encuestas
    encuesta incidencias incidencia reclamaciones llamadas enquetes enquete appels reclamations sondaggi chiamate klachten;
customers: customer customers client clients account accounts user users member members people crm kunde kunden
    kundenstamm cliente clientes clienti klanten;
initiatives: initiative initiatives program programs programme programmes campaign campaigns projects massnahmen
    kampagnen;
assignments: assignment assignments treatment treatments arms participants holdout experiment zuordnung;
control_totals: control totals ledger finance gl hauptbuch accounting bookings;
";

/// Words that make a name that of something else than an id, or than revenue.
const NO_ID: &str = "name email mail phone city state country zip plz address type segment group since status age gender date datum \
    at time timestamp class tier region comment message title value amount count";

const NO_LABEL: &str = "id";

pub(super) const NO_REVENUE: &str = "freight shipping tax vat mwst ust steuer versand versandkosten discount rabatt fee tip cost kosten coste \
    costo custo cout margin currency quantity qty type id no method installments rate pct percent weight";

/// Words of a name that only say how something is measured or written.
const UNITS: &str = "cent cents minor pence centavos rappen eur usd gbp euro euros min mins minutes minuten minutos sec secs \
    seconds sekunden ms millis utc local raw";

/// The words of a name: small letters without accents.
pub(super) fn words(name: &str) -> Vec<String> {
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

pub(super) fn listed(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|known| known == word)
}

/// How much of a name is explained by one of the names of a column of the contract: from 0 to 1, and whether that is no more
/// than a guess. Words of the table's own name do not count, as `review` in `reviews.review_score`, except beside an id.
pub(super) fn likeness(table: &str, name: &str, target: &str) -> (f64, bool) {
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
        let share = explained.iter().sum::<usize>().min(total) as f64 / total.max(1) as f64 - 0.001 * rank as f64;
        if share > best.0 {
            best = (share, guess);
        }
    }
    best
}

/// Whether a table's name says that it holds a source.
pub(super) fn named(table: &str, source: &str) -> bool {
    let names = known(TABLES, source);
    words(table).iter().any(|word| listed(names, word))
}

/// The names of a column; one that is only called `id` is an id of what its table is about.
pub(super) fn full_names(table: &str, name: &str) -> Vec<String> {
    match words(name).as_slice() {
        [only] if listed("id nr no key number uuid code codigo codice", only) => {
            words(table).last().map(|word| format!("{word} id")).into_iter().collect()
        }
        _ => vec![name.to_owned()],
    }
}
