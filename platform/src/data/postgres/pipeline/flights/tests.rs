//! The rules on bytes: what goes out, what comes back, and that it does not matter where the network cuts them.
use super::*;

fn message(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + 4).unwrap().to_be_bytes();
    [&[kind][..], &length, payload].concat()
}

/// Messages by their types: `BES` is a statement, `Q` a simple query.
fn messages(kinds: &str) -> Vec<u8> {
    let payload = |kind| match kind {
        'Z' => b"T".to_vec(),
        'S' => Vec::new(),
        'E' | 'D' => vec![b'x'; 300], // longer than a length's last byte can say
        _ => b"x\0".to_vec(),
    };
    kinds.chars().flat_map(|kind| message(u8::try_from(kind).unwrap(), &payload(kind))).collect()
}

fn kinds(mut bytes: &[u8]) -> String {
    let mut kinds = String::new();
    while let Some(length) = whole(bytes).unwrap() {
        kinds.push(char::from(bytes[0]));
        bytes = &bytes[length..];
    }
    assert!(bytes.is_empty(), "no whole message at the end");
    kinds
}

fn started() -> Flights {
    let mut flights = Flights::default();
    flights.send(b"\0\0\0\x08\x04\xd2\x16\x2f").unwrap(); // of a form of its own: no type
    flights.receive(&messages("RSKZ")).unwrap();
    assert_eq!(kinds(&std::mem::take(&mut flights.back)), "RSKZ");
    flights.out.clear();
    flights
}

/// What reaches the server of what the driver sends before it flushes.
fn sent(flights: &mut Flights, what: &str) -> String {
    flights.send(&messages(what)).unwrap();
    flights.release();
    kinds(&std::mem::take(&mut flights.out))
}

/// What reaches the driver of what the server answers.
fn received(flights: &mut Flights, what: &str) -> String {
    flights.receive(&messages(what)).unwrap();
    kinds(&std::mem::take(&mut flights.back))
}

#[test]
fn statements_of_a_flight_have_one_sync() {
    for (driver, server) in [
        ("BES", "BES"),
        ("BESBESBES", "BEBEBES"),
        ("QBESBES", "QBEBES"),
        ("BESQ", "BESQ"),                // COMMIT stands alone
        ("BESPDSBESBES", "BESPDSBEBES"), // as does what prepares
        ("BESCS", "BESCS"),
        ("BSBES", "BSBES"), // a portal, which the layer does not use
        ("BESX", "BESX"),
    ] {
        let mut flights = started();
        assert_eq!(sent(&mut flights, driver), server, "{driver}");
        let requests = driver.matches(['S', 'Q']).count();
        assert_eq!(flights.awaited.len(), requests, "each has its answer: {driver}");
    }
}

#[test]
fn each_statement_gets_the_end_that_the_driver_waits_for() {
    let mut flights = started();
    assert_eq!(sent(&mut flights, "BESBESBESQ"), "BEBEBESQ");
    assert_eq!(received(&mut flights, "2DDC"), "2DDCZ");
    assert_eq!(received(&mut flights, "2NCA2"), "2NCZA2", "notices belong to nobody");
    assert_eq!(received(&mut flights, "DCZ"), "DCZ");
    assert_eq!(received(&mut flights, "CZ"), "CZ");
    assert!(flights.awaited.is_empty());
    assert_eq!(sent(&mut flights, "BESBES"), "BEBES");
    assert_eq!(received(&mut flights, "2I2s"), "2IZ2s");
}

#[test]
fn what_is_passed_over_after_an_error_is_answered_too() {
    let mut flights = started();
    assert_eq!(sent(&mut flights, "BESBESBESBESQ"), "BEBEBEBESQ");
    // the first is done, the second fails, of the others the server says nothing but that it is ready again
    assert_eq!(received(&mut flights, "2C2E"), "2CZ2EZEZE");
    assert_eq!(received(&mut flights, "Z"), "Z");
    assert_eq!(received(&mut flights, "CZ"), "CZ", "and the ROLLBACK is answered by itself");
    // where the last one fails, nothing was passed over
    assert_eq!(sent(&mut flights, "BESBES"), "BEBES");
    assert_eq!(received(&mut flights, "2C2EZ"), "2CZ2EZ");
    assert!(flights.awaited.is_empty());
}

#[test]
fn what_is_passed_over_has_failed_as_in_a_failed_transaction() {
    let mut flights = started();
    sent(&mut flights, "BESBES");
    flights.receive(&messages("E")).unwrap();
    let back = std::mem::take(&mut flights.back);
    let own = &back[messages("E").len() + FAILED.len()..];
    let parsed = postgres_error(own);
    assert_eq!(parsed, "25P02");
    assert_eq!(&back[messages("E").len()..][..FAILED.len()], &FAILED);
}

/// The SQLSTATE of an ErrorResponse.
fn postgres_error(message: &[u8]) -> String {
    assert_eq!(whole(message).unwrap(), Some(message.len()));
    let mut fields = message[HEADER..].split(|byte| *byte == 0);
    let code = fields.find(|field| field.first() == Some(&b'C')).unwrap();
    String::from_utf8(code[1..].to_vec()).unwrap()
}

#[test]
fn a_server_that_goes_away_leaves_the_rest_unanswered() {
    let mut flights = started();
    sent(&mut flights, "BESBES");
    let fatal = message(b'E', b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0");
    flights.receive(&fatal).unwrap();
    assert_eq!(kinds(&std::mem::take(&mut flights.back)), "E", "the driver then sees the end of the stream");
}

#[test]
fn an_answer_that_fits_nothing_ends_the_connection() {
    for (driver, server) in [("", "Z"), ("BES", "2CZZ"), ("BESBES", "2Z"), ("BESBES", "2G"), ("Q", "CZZ")] {
        let mut flights = started();
        sent(&mut flights, driver);
        assert!(flights.receive(&messages(server)).is_err(), "{driver}: {server}");
    }
    assert!(started().receive(&[b'Z', 0, 0, 0, 3]).is_err(), "a length that is none");
}

#[test]
fn where_the_network_cuts_does_not_matter() {
    let (driver, server) =
        (messages("QBESBESPDSBESBESBESQ"), messages("CZ2DDC2DC Z1tTZ2C2EZCZ".replace(' ', "").as_str()));
    let whole = {
        let mut flights = started();
        flights.send(&driver).unwrap();
        flights.release();
        flights.receive(&server).unwrap();
        (flights.out, flights.back)
    };
    assert_eq!(kinds(&whole.0), "QBEBESPDSBEBEBESQ");
    assert_eq!(kinds(&whole.1), "CZ2DDCZ2DCZ1tTZ2CZ2EZEZCZ");
    for cut in 1..driver.len().max(server.len()) {
        let mut flights = started();
        for part in driver.chunks(cut) {
            flights.send(part).unwrap();
        }
        flights.release();
        for part in server.chunks(cut) {
            flights.receive(part).unwrap();
        }
        assert!((flights.out, flights.back) == whole, "cut at every {cut}");
    }
}

#[test]
fn an_announced_flight_is_not_cut() {
    let mut flights = started();
    flights.flight.expect(3);
    for (driver, server) in [("BES", "BE"), ("BES", "BE"), ("BES", "BES")] {
        flights.send(&messages(driver)).unwrap();
        flights.flush();
        assert_eq!(kinds(&std::mem::take(&mut flights.out)), server);
    }
    assert_eq!(received(&mut flights, "2C2C2CZ"), "2CZ2CZ2CZ");
    // nor does what comes behind it belong to it
    flights.flight.expect(1);
    assert_eq!(sent(&mut flights, "BESBES"), "BESBES");
    assert_eq!(received(&mut flights, "2CZ2CZ"), "2CZ2CZ");
    assert!(flights.awaited.is_empty());
}

#[test]
fn an_answer_may_come_before_it_is_known_what_follows() {
    let mut flights = started();
    flights.flight.expect(2);
    flights.send(&messages("BES")).unwrap();
    flights.flush();
    assert_eq!(received(&mut flights, "2DC"), "2DC");
    assert_eq!(sent(&mut flights, "BES"), "BEBES");
    assert_eq!(received(&mut flights, ""), "Z");
    assert_eq!(received(&mut flights, "2CZ"), "2CZ");
    assert!(flights.awaited.is_empty());
}

#[test]
fn a_failure_ends_an_announced_flight() {
    // before the next statement is sent: that has a Sync of its own
    let mut flights = started();
    flights.flight.expect(3);
    flights.send(&messages("BES")).unwrap();
    flights.flush();
    assert_eq!(received(&mut flights, "2E"), "2E");
    assert_eq!(kinds(&std::mem::take(&mut flights.out)), "BES");
    assert_eq!(received(&mut flights, "Z"), "Z");
    assert_eq!(sent(&mut flights, "BESBES"), "BEBES");
    assert_eq!(received(&mut flights, "2EZ"), "2EZEZ");
    // while it is sent: it is passed over
    let mut flights = started();
    flights.flight.expect(2);
    flights.send(&messages("BESB")).unwrap();
    flights.flush();
    assert_eq!(received(&mut flights, "2E"), "2EZ");
    assert_eq!(sent(&mut flights, "ES"), "BEBES");
    assert_eq!(received(&mut flights, "Z"), "EZ");
    assert!(flights.awaited.is_empty());
}
