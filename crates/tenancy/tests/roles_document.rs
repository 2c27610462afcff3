//! `docs/roles.md` shows the table that the code enforces; tests of isolation read it from there.

use tenancy::{Permission, Role};

/// The table as it stands in the document.
fn table() -> String {
    let roles: Vec<&str> = Role::ALL.into_iter().map(Role::as_str).collect();
    let mut lines = vec![
        format!("| permission | to | {} |", roles.join(" | ")),
        format!("|{}", "---|".repeat(roles.len() + 2)),
    ];
    for permission in Permission::ALL {
        let granted = Role::ALL.map(|role| if permission.is_granted_to(role) { "yes" } else { "" });
        let cells: Vec<String> = granted.map(|cell| format!(" {cell} |")).into();
        lines.push(format!("| `{permission:?}` | {} |{}", permission.as_str(), cells.concat()));
    }
    lines.join("\n")
}

#[test]
fn the_document_shows_the_table_of_the_code() {
    let document = include_str!("../../../docs/roles.md");
    let table = table();
    assert!(document.contains(&table), "docs/roles.md must have this table:\n{table}");
}
