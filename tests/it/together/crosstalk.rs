//! Pairs of one batch that meet on tickets, in numbers and in organizations: what is done for one of them is never
//! another's.

use user_merge::merge::Ending;

use super::{assert_log_is_exact, assert_same_as_one_by_one, endings};
use crate::harness::{Desk, in_account, request};

/// T1, T4, T5: each source is copied on the other's tickets, and the targets too; three meet on a ticket of none of
/// them. With and without CCs on archived tickets.
#[tokio::test]
async fn t4_t5_ccs_on_each_others_tickets() {
    for archived_too in [false, true] {
        let mut desk = Desk::open().await;
        desk.settings.merge.move_archived_ccs = archived_too;
        desk.users(1..=7).await;
        let mut id = 100;
        for requester in 1..=7 {
            for ccs in [
                vec![1],
                vec![1, 2],
                vec![1, 3],
                vec![1, 4],
                vec![2, 3],
                vec![1, 3, 5],
                vec![2, 4, 6],
                (1..=7).collect(),
            ] {
                let status = if id % 2 == 0 { "open" } else { "closed" };
                desk.tickets(id, 1, requester, status).await;
                desk.archived_tickets(id + 1000, 1, requester).await;
                for user in ccs {
                    desk.cc(id, user).await;
                    desk.execute(&format!(
                        "INSERT INTO helpdesk.archived_ticket_ccs VALUES (1, {}, {user})",
                        id + 1000
                    ))
                    .await;
                }
                id += 1;
            }
        }
        desk.copy_account(2).await;
        let requests = [
            request(1, 2),
            in_account(2, request(2, 1)),
            request(3, 4),
            request(6, 5),
            in_account(2, request(4, 6)),
        ];
        let together = assert_same_as_one_by_one(&desk, &requests).await;
        let copied =
            "SELECT string_agg(user_id::text, ' ' ORDER BY user_id) FROM helpdesk.ticket_ccs
                      WHERE account_id = 1 AND ticket_id = 155";
        assert_eq!(together.text(copied).await.unwrap(), "2 4 5 7");
        let left = "SELECT count(*) FROM helpdesk.ticket_ccs
                    WHERE account_id = 1 AND user_id IN (1, 3, 6) OR account_id = 2 AND user_id IN (2, 4)";
        assert_eq!(together.number(left).await, 0);
    }
}

/// P1, P4, P15: identities with the same ids in two accounts, numbers that are equal across pairs, addresses and
/// social accounts: each goes to its own source's target.
#[tokio::test]
async fn p1_p4_p15_identities_go_to_their_own_target() {
    for social_too in [false, true] {
        let mut desk = Desk::open().await;
        desk.settings.merge.carry_social_identities = social_too;
        desk.users(1..=6).await;
        for user in 1..=6 {
            for n in 0..2 {
                let address = format!("User{user}.{n}@example.com");
                desk.identity(user, "email", &address, n == 0).await;
            }
            let number = ["+41 79 123 45 67", "0041791234567", "+49 30 123456"];
            let at = usize::try_from(user).unwrap() % 3;
            desk.identity(user, "phone", number[at], true).await;
            desk.identity(user, "x", &format!("@user{user}"), true)
                .await;
        }
        desk.copy_account(2).await;
        let requests = [
            request(1, 2),
            in_account(2, request(1, 3)),
            request(3, 4),
            in_account(2, request(5, 4)),
            request(6, 5),
        ];
        let together = assert_same_as_one_by_one(&desk, &requests).await;
        let owners = "
            SELECT string_agg(concat_ws('>', split_part(value, '.', 1), user_id), ' ' ORDER BY id)
            FROM helpdesk.user_identities WHERE kind = 'email' AND value LIKE '%.0@%' AND account_id = ";
        let of = async |account: i64| together.text(&format!("{owners}{account}")).await.unwrap();
        assert_eq!(
            of(1).await,
            "User1>2 User2>2 User3>4 User4>4 User5>5 User6>5"
        );
        assert_eq!(
            of(2).await,
            "User1>3 User2>2 User3>3 User4>4 User5>4 User6>6"
        );
    }
}

/// P7: the account decides how many organizations there are, and each target gets its own source's.
#[tokio::test]
async fn p7_organizations_go_to_their_own_target() {
    let desk = Desk::open().await;
    desk.users(1..=8).await;
    desk.execute(
        "INSERT INTO helpdesk.organizations SELECT 1, id, 'organization' FROM generate_series(10, 40, 10) id;
         INSERT INTO helpdesk.organization_memberships VALUES
             (1, 1, 10, false), (1, 1, 20, true), (1, 2, 30, true), (1, 3, 40, false), (1, 3, 20, false),
             (1, 5, 10, true), (1, 6, 10, true), (1, 7, 40, true);
         UPDATE helpdesk.users SET organization_id = 20 WHERE id = 1;
         UPDATE helpdesk.users SET organization_id = 30 WHERE id = 2",
    )
    .await;
    desk.copy_account(2).await;
    desk.execute("UPDATE helpdesk.accounts SET multiple_organizations = true WHERE id = 2")
        .await;
    let pairs = [(1, 2), (3, 4), (5, 6), (7, 8)];
    let requests: Vec<_> = pairs
        .into_iter()
        .flat_map(|(source, target)| {
            [
                request(source, target),
                in_account(2, request(source, target)),
            ]
        })
        .collect();
    let together = assert_same_as_one_by_one(&desk, &requests).await;
    let members = "
        SELECT string_agg(concat_ws(':', user_id, organization_id), ' ' ORDER BY user_id, organization_id)
        FROM helpdesk.organization_memberships WHERE user_id IN (2, 4, 6, 8) AND account_id = ";
    let of = async |account: i64| together.text(&format!("{members}{account}")).await.unwrap();
    assert_eq!(of(1).await, "2:30 4:20 6:10 8:40");
    assert_eq!(of(2).await, "2:10 2:20 2:30 4:20 4:40 6:10 8:40");
}

/// D3, A3, A4: who was merged into one of the batch's sources follows it, and a request about it says who it is
/// today.
#[tokio::test]
async fn d3_followers_go_with_their_own_source() {
    let desk = Desk::open().await;
    desk.users(1..=9).await;
    desk.copy_account(2).await;
    for (source, target) in [(1, 2), (3, 4)] {
        desk.run(&request(source, target)).await.unwrap();
        let other = in_account(2, request(source, target));
        desk.run(&other).await.unwrap();
    }
    let requests = [
        request(2, 5),
        in_account(2, request(2, 6)),
        request(4, 6),
        in_account(2, request(7, 8)),
        request(8, 9),
    ];
    let together = assert_same_as_one_by_one(&desk, &requests).await;
    let today = "SELECT string_agg(concat_ws('>', id, merged_into), ' ' ORDER BY id)
                 FROM helpdesk.users WHERE merged_into IS NOT NULL AND account_id = ";
    let of = async |account: i64| together.text(&format!("{today}{account}")).await.unwrap();
    assert_eq!(of(1).await, "1>5 2>5 3>6 4>6 8>9");
    assert_eq!(of(2).await, "1>6 2>6 3>4 7>8");

    // A tombstone and the user that it follows are not one user: both are asked about at once.
    let desk = desk.copy().await;
    let both = [request(2, 5), request(1, 7), request(3, 8), request(4, 6)];
    let reports = desk.run_together(&both).await;
    let elsewhere = Ending::Rejected(user_merge::domain::Reason::SourceMergedElsewhere);
    let expected = [Ending::Completed, elsewhere, elsewhere, Ending::Completed];
    assert_eq!(endings(&reports), expected.map(Some));
    assert_log_is_exact(&desk).await;
    desk.assert_verified().await;
}

/// T2, T3, T6, T10: every entry of the log names its own merge and its own pair, suppresses triggers, and leaves the
/// rest of the ticket as it was.
#[tokio::test]
async fn t2_t3_t6_t10_every_entry_is_its_own_merges() {
    let desk = Desk::open().await;
    let requests = super::four_pairs(&desk).await;
    let rest = "SELECT string_agg(concat_ws(' ', id, submitter_id, organization_id, subject), ',' ORDER BY id)
                FROM helpdesk.tickets";
    let before = desk.text(rest).await;
    let reports = desk.run_together(&requests).await;
    assert_eq!(endings(&reports), [Some(Ending::Completed); 4]);
    assert_eq!(desk.text(rest).await, before);
    for (request, report) in requests.iter().zip(reports) {
        let (source, target) = (request.source_user_id, request.target_user_id);
        let report = report.unwrap();
        let entries = format!(
            "SELECT concat_ws(' ', ticket_id, field, old_value, new_value, via, suppress_triggers)
             FROM helpdesk.ticket_events WHERE merge_id = '{}' ORDER BY ticket_id, field",
            report.merge
        );
        let (s, n) = (source.get(), source.get() - 10);
        let moved = |ticket: i64| format!("{ticket} requester_id {source} {target} user_merge t");
        let expected = [
            format!("{} cc {target} user_merge t", 100 * s),
            moved(100 * s),
            moved(100 * s + 1),
            moved(100 * s + 10),
            moved(100 * s + 20),
            moved(100 * s + 21),
            format!("{} cc {source} {target} user_merge t", 9000 + n),
        ];
        assert_eq!(desk.list(&entries).await, expected);
        let moved = report.moved;
        assert_eq!((moved.tickets.live, moved.tickets.closed), (2, 1));
        assert_eq!(
            (
                moved.tickets.archived,
                moved.ccs.moved,
                moved.ccs.deduplicated
            ),
            (2, 1, 1)
        );
    }
}
