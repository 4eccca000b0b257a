//! Sets the stage: the rows with which a story begins.

use super::world::Account;
use crate::harness::Desk;

/// Emptied between stories, children first: quicker than a new database for each, or TRUNCATE.
const TABLES: [&str; 12] = [
    "user_merge.outbox",
    "user_merge.merges",
    "helpdesk.ticket_events",
    "helpdesk.archived_ticket_ccs",
    "helpdesk.ticket_ccs",
    "helpdesk.archived_tickets",
    "helpdesk.tickets",
    "helpdesk.organization_memberships",
    "helpdesk.user_identities",
    "helpdesk.users",
    "helpdesk.organizations",
    "helpdesk.accounts",
];

/// Makes a help desk of these accounts and nothing else.
pub async fn set(desk: &Desk, accounts: &[Account]) {
    let mut sql = TABLES.map(|table| format!("DELETE FROM {table};")).concat();
    sql.extend(accounts.iter().map(insert));
    desk.execute(&sql).await;
}

/// The rows of an account.
fn insert(account: &Account) -> String {
    let a = account.id;
    let sign_on = if account.by_token {
        "password,jwt"
    } else {
        "password"
    };
    let mut sql = format!(
        "INSERT INTO helpdesk.accounts VALUES ({a}, 'account', '{{{sign_on}}}', {});
         INSERT INTO helpdesk.organizations SELECT {a}, id, 'organization' FROM unnest('{{10,20,30}}'::bigint[]) id;",
        account.multiple_organizations
    );
    let text = |text: Option<&str>| text.map_or("NULL".to_owned(), |text| format!("'{text}'"));
    for (id, user) in &account.users {
        let organization = user
            .default_organization
            .map_or("NULL".to_owned(), |id| id.to_string());
        sql += &format!(
            "INSERT INTO helpdesk.users (account_id, id, name, role, verified, suspended, external_id, notes,
                                         tags, organization_id, deleted_at)
             VALUES ({a}, {id}, 'user {id}', '{}', {}, {}, {}, {}, array_fill('t'::text, '{{{}}}'),
                     {organization}, {});",
            user.role,
            user.verified,
            user.suspended,
            text(user.external_id),
            text(user.notes.then_some("a note")),
            user.tags,
            if user.deleted { "now()" } else { "NULL" }
        );
        for (organization, is_default) in &user.organizations {
            sql += &format!(
                "INSERT INTO helpdesk.organization_memberships VALUES ({a}, {id}, {organization}, {is_default});"
            );
        }
    }
    for (id, identity) in &account.identities {
        sql += &identity.insert(a, *id);
    }
    for (id, ticket) in &account.tickets {
        sql += &ticket.insert(a, *id);
    }
    sql
}
