//! The digits that the path from SQL to coefficients keeps: the Statistical Reference Datasets of the National Institute of Standards
//! and Technology (www.itl.nist.gov/div898/strd), data and certified values, which are in the public domain.

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use stats::Undefined;
use stats::regression::{Cell, Shape, fit};

/// Outcome, then number.
const NORRIS: &str = "
    (0.1, 0.2), (338.8, 337.4), (118.1, 118.2), (888.0, 884.6), (9.2, 10.1), (228.1, 226.5), (668.5, 666.3),
    (998.5, 996.3), (449.1, 448.6), (778.9, 777.0), (559.2, 558.2), (0.3, 0.4), (0.1, 0.6), (778.1, 775.5),
    (668.8, 666.9), (339.3, 338.0), (448.9, 447.5), (10.8, 11.6), (557.7, 556.0), (228.3, 228.1), (998.0, 995.8),
    (888.8, 887.6), (119.6, 120.2), (0.3, 0.3), (0.6, 0.3), (557.6, 556.8), (339.3, 339.1), (888.0, 887.2),
    (998.5, 999.0), (778.9, 779.0), (10.2, 11.1), (117.6, 118.3), (228.9, 229.2), (668.4, 669.1), (449.2, 448.9),
    (0.2, 0.5)";
const PONTIUS: &str = "
    (0.11019, 150000), (0.21956, 300000), (0.32949, 450000), (0.43899, 600000), (0.54803, 750000),
    (0.65694, 900000), (0.76562, 1050000), (0.87487, 1200000), (0.98292, 1350000), (1.09146, 1500000),
    (1.20001, 1650000), (1.30822, 1800000), (1.41599, 1950000), (1.52399, 2100000), (1.63194, 2250000),
    (1.73947, 2400000), (1.84646, 2550000), (1.95392, 2700000), (2.06128, 2850000), (2.16844, 3000000),
    (0.11052, 150000), (0.22018, 300000), (0.32939, 450000), (0.43886, 600000), (0.54798, 750000),
    (0.65739, 900000), (0.76596, 1050000), (0.87474, 1200000), (0.983, 1350000), (1.0915, 1500000),
    (1.20004, 1650000), (1.30818, 1800000), (1.41613, 1950000), (1.52408, 2100000), (1.63159, 2250000),
    (1.73965, 2400000), (1.84696, 2550000), (1.95445, 2700000), (2.06177, 2850000), (2.16829, 3000000)";
const FILIP: &str = "
    (0.8116, -6.860120914), (0.9072, -4.324130045), (0.9052, -4.358625055), (0.9039, -4.358426747),
    (0.8053, -6.955852379), (0.8377, -6.661145254), (0.8667, -6.355462942), (0.8809, -6.118102026),
    (0.7975, -7.115148017), (0.8162, -6.815308569), (0.8515, -6.519993057), (0.8766, -6.204119983),
    (0.8885, -5.853871964), (0.8859, -6.109523091), (0.8959, -5.79832982), (0.8913, -5.482672118),
    (0.8959, -5.171791386), (0.8971, -4.851705903), (0.9021, -4.517126416), (0.909, -4.143573228),
    (0.9139, -3.709075441), (0.9199, -3.499489089), (0.8692, -6.300769497), (0.8872, -5.953504836),
    (0.89, -5.642065153), (0.891, -5.031376979), (0.8977, -4.680685696), (0.9035, -4.329846955),
    (0.9078, -3.928486195), (0.7675, -8.56735134), (0.7705, -8.363211311), (0.7713, -8.107682739),
    (0.7736, -7.823908741), (0.7775, -7.522878745), (0.7841, -7.218819279), (0.7971, -6.920818754),
    (0.8329, -6.628932138), (0.8641, -6.323946875), (0.8804, -5.991399828), (0.7668, -8.781464495),
    (0.7633, -8.663140179), (0.7678, -8.473531488), (0.7697, -8.247337057), (0.77, -7.971428747),
    (0.7749, -7.676129393), (0.7796, -7.352812702), (0.7897, -7.072065318), (0.8131, -6.774174009),
    (0.8498, -6.478861916), (0.8741, -6.159517513), (0.8061, -6.835647144), (0.846, -6.53165267),
    (0.8751, -6.224098421), (0.8856, -5.910094889), (0.8919, -5.598599459), (0.8934, -5.290645224),
    (0.894, -4.974284616), (0.8957, -4.64454848), (0.9047, -4.290560426), (0.9129, -3.885055584),
    (0.9209, -3.408378962), (0.9219, -3.13200249), (0.7739, -8.726767166), (0.7681, -8.66695597),
    (0.7665, -8.511026475), (0.7703, -8.165388579), (0.7702, -7.886056648), (0.7761, -7.588043762),
    (0.7809, -7.283412422), (0.7961, -6.995678626), (0.8253, -6.691862621), (0.8602, -6.392544977),
    (0.8809, -6.067374056), (0.8301, -6.684029655), (0.8664, -6.378719832), (0.8834, -6.065855188),
    (0.8898, -5.752272167), (0.8964, -5.132414673), (0.8963, -4.811352704), (0.9074, -4.098269308),
    (0.9119, -3.66174277), (0.9228, -3.2644011)";
/// Total employment; price deflator, gross national product, unemployed, armed forces, population, year.
const LONGLEY: &str = "
    (60323, 83, 234289, 2356, 1590, 107608, 1947), (61122, 88.5, 259426, 2325, 1456, 108632, 1948),
    (60171, 88.2, 258054, 3682, 1616, 109773, 1949), (61187, 89.5, 284599, 3351, 1650, 110929, 1950),
    (63221, 96.2, 328975, 2099, 3099, 112075, 1951), (63639, 98.1, 346999, 1932, 3594, 113270, 1952),
    (64989, 99, 365385, 1870, 3547, 115094, 1953), (63761, 100, 363112, 3578, 3350, 116219, 1954),
    (66019, 101.2, 397469, 2904, 3048, 117388, 1955), (67857, 104.6, 419180, 2822, 2857, 118734, 1956),
    (68169, 108.4, 442769, 2936, 2798, 120445, 1957), (66513, 110.8, 444546, 4681, 2637, 121950, 1958),
    (68655, 112.6, 482704, 3813, 2552, 123366, 1959), (69564, 114.2, 502601, 3931, 2514, 125368, 1960),
    (69331, 115.7, 518173, 4806, 2572, 127852, 1961), (70551, 116.9, 554894, 4007, 2827, 130081, 1962)";

/// The doubles of the one row that a query gives; lists are spread out.
async fn ask(sql: &str) -> Vec<f64> {
    let found = engine::empty_session().unwrap().sql(sql).await.unwrap().collect().await.unwrap();
    let columns = found.iter().flat_map(|batch| batch.columns());
    let values = columns.flat_map(|column| match column.as_list_opt::<i32>() {
        Some(list) => list.value(0).as_primitive::<Float64Type>().values().to_vec(),
        None => column.as_primitive::<Float64Type>().values().to_vec(),
    });
    values.collect()
}

/// Constant and coefficients, from sums of products of centred numbers as the measures make them.
async fn coefficients(rows: &str, columns: &[&str]) -> Result<Vec<f64>, Undefined> {
    let numbers: Vec<String> = (1..=columns.len()).map(|at| format!("x{at}")).collect();
    let named: Vec<String> =
        columns.iter().zip(&numbers).map(|(column, name)| format!("cast({column} as double) as {name}")).collect();
    let names: Vec<String> =
        (1..=rows.split(')').next().unwrap().split(',').count()).map(|at| format!("c{at}")).collect();
    let means: Vec<String> =
        ["y".to_owned()].iter().chain(&numbers).map(|name| format!("exact_sum({name}) / count(*) as {name}")).collect();
    let centred: Vec<String> = numbers.iter().map(|name| format!("model.{name} - means.{name}")).collect();
    let found = ask(&format!(
        "with model as (select cast(c1 as double) as y, {named} from (values {rows}) as data ({names})),
        means as (select {means} from model)
        select max(means.y) as y, {of_means},
            exact_products(numbers(1.0, {centred}), numbers(1.0, {centred}, model.y - means.y)) as products
        from model cross join means",
        named = named.join(", "),
        names = names.join(", "),
        means = means.join(", "),
        of_means = numbers.iter().map(|name| format!("max(means.{name}) as {name}")).collect::<Vec<_>>().join(", "),
        centred = centred.join(", "),
    ))
    .await;
    let (means, products) = found.split_at(1 + columns.len());
    let shape = Shape { controls: 0, focal: columns.len(), outcomes: 1 };
    let fitted = fit(&[Cell { levels: vec![], products: products.to_vec() }], shape)?;
    let slopes: Vec<f64> = fitted.slopes.iter().map(|slopes| slopes[0]).collect();
    let (_, constants) = fitted.of_cell(&[]);
    let constant =
        constants[0] + means[0] - slopes.iter().zip(&means[1..]).map(|(slope, mean)| slope * mean).sum::<f64>();
    Ok([vec![constant], slopes].concat())
}

/// Fails unless each number agrees with the certified one to so many digits.
fn digits(found: &[f64], certified: &[f64], wanted: f64) {
    assert_eq!(found.len(), certified.len());
    for (found, certified) in found.iter().zip(certified) {
        let digits = -((found - certified) / certified).abs().max(1e-15).log10();
        assert!(digits >= wanted, "{found} has {digits:.1} digits of {certified}");
    }
}

#[tokio::test]
async fn certified_coefficients_come_out_of_sql() {
    let norris = coefficients(NORRIS, &["c2"]).await.unwrap();
    digits(&norris, &[-0.262323073774029, 1.00211681802045], 10.0);
    let pontius = coefficients(PONTIUS, &["c2", "cast(c2 as double) * c2"]).await.unwrap();
    digits(&pontius, &[0.673565789473684E-03, 0.732059160401003E-06, -0.316081871345029E-14], 8.0);
    let longley = coefficients(LONGLEY, &["c2", "c3", "c4", "c5", "c6", "c7"]).await.unwrap();
    let certified = [
        -3482258.63459582,
        15.0618722713733,
        -0.358191792925910E-01,
        -2.02022980381683,
        -1.03322686717359,
        -0.511041056535807E-01,
        1829.15146461355,
    ];
    digits(&longley, &certified, 8.0);
}

/// A polynomial of the tenth degree, whose powers go together to the last digit.
#[tokio::test]
async fn what_double_precision_cannot_tell_apart_is_refused() {
    let powers: Vec<String> = (1..=10).map(|power| format!("power(cast(c2 as double), {power})")).collect();
    let powers: Vec<&str> = powers.iter().map(String::as_str).collect();
    assert_eq!(coefficients(FILIP, &powers).await, Err(Undefined::Collinear));
}

/// NumAcc3 and NumAcc4: a large number, then 1,000 that are 0.1 above it and below it in turn. The standard deviation is 0.1.
#[tokio::test]
async fn spread_beside_a_large_mean_keeps_its_digits() {
    for (large, wanted) in [("1000000.2", 9.0), ("10000000.2", 8.0)] {
        let found = ask(&format!(
            "with numbers as (
                select cast({large} as double) as x
                union all
                select cast({large} as double) + case when place % 2 = 1 then -0.1 else 0.1 end as x
                from generate_series(1, 1000) as places (place)),
            mean as (select exact_sum(x) / count(*) as mean from numbers)
            select sqrt(exact_sum((x - mean) * (x - mean)) / (count(*) - 1)) as spread
            from numbers cross join mean"
        ))
        .await;
        digits(&found, &[0.1], wanted);
    }
}
