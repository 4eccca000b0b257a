//! R7: what may pass, what lasts and what is the whole database's, told by the type of the server's own errors.

use user_merge::merge::Ending;
use user_merge::store::Error;

use crate::harness::{Shape, request};

#[derive(Debug, PartialEq)]
enum Kind {
    Outage,
    Passing,
    Lasting,
}

/// As the server raises them in a merge, with the word for metrics and dead letters.
const ERRORS: &[(&str, Kind, &str)] = &[
    ("08006", Kind::Outage, "connection"),
    ("25006", Kind::Outage, "read_only"),
    ("53300", Kind::Outage, "too_many_connections"),
    ("57P01", Kind::Outage, "connection"),
    ("57P02", Kind::Outage, "connection"),
    ("57P03", Kind::Outage, "connection"),
    ("57P04", Kind::Outage, "connection"),
    ("57P05", Kind::Outage, "connection"),
    ("08P01", Kind::Passing, "connection"),
    ("23503", Kind::Passing, "race"),
    ("23505", Kind::Passing, "race"),
    ("25P03", Kind::Passing, "transaction_timeout"),
    ("40001", Kind::Passing, "serialization"),
    ("40P01", Kind::Passing, "deadlock"),
    ("53000", Kind::Passing, "server"),
    ("53100", Kind::Passing, "disk_full"),
    ("53200", Kind::Passing, "server"),
    ("53400", Kind::Passing, "server"),
    ("55006", Kind::Passing, "other"),
    ("55P03", Kind::Passing, "lock_timeout"),
    ("57014", Kind::Passing, "statement_timeout"),
    ("58030", Kind::Passing, "server"),
    ("72000", Kind::Passing, "other"),
    ("22001", Kind::Lasting, "other"),
    ("23514", Kind::Lasting, "other"),
    ("25001", Kind::Lasting, "other"),
    ("42501", Kind::Lasting, "permission"),
    ("42P01", Kind::Lasting, "schema"),
    ("54001", Kind::Lasting, "other"),
    ("55000", Kind::Lasting, "other"),
    ("P0001", Kind::Lasting, "other"),
    ("XX000", Kind::Lasting, "other"),
];

fn kind(error: &Error) -> Kind {
    match (error.is_outage(), error.is_passing()) {
        (true, true) => Kind::Outage,
        (false, true) => Kind::Passing,
        (false, false) => Kind::Lasting,
        (true, false) => panic!("an outage that won't pass: {error}"),
    }
}

#[tokio::test]
async fn r7_each_error_of_the_server_is_told_by_its_type() {
    for shape in Shape::BOTH {
        let mut desk = shape.desk().await;
        desk.settings.retry.immediate = 1;
        desk.users([1, 2]).await;
        desk.tickets(1, 10, 1, "open").await;
        desk.execute(
            "CREATE TABLE public.fault (code text);
             INSERT INTO public.fault VALUES (NULL);
             CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 RAISE EXCEPTION 'no' USING ERRCODE = (SELECT code FROM public.fault);
             END $$;
             CREATE TRIGGER fail BEFORE UPDATE ON helpdesk.users FOR EACH ROW EXECUTE FUNCTION public.fail()",
        )
        .await;
        for (code, expected, class) in ERRORS {
            desk.execute(&format!("UPDATE public.fault SET code = '{code}'"))
                .await;
            let error = desk.run(&request(1, 2)).await.unwrap_err();
            assert_eq!((error.label().as_ref(), error.class()), (*code, *class));
            assert_eq!(kind(&error), *expected, "{code}");
        }
        desk.execute("DROP TRIGGER fail ON helpdesk.users").await;
        let report = desk.run(&request(1, 2)).await.unwrap();
        assert_eq!(report.ending, Ending::Completed);
        shape.assert_was_used(&desk).await;
    }
}
