//! What the list of settings turns into.

/// Structs, and how each is read and checked. A rule stands behind its field.
macro_rules! sections {
    ($($(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])* $field:ident: $type:ty $(=> $rule:expr)?,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Setting for $name {
            fn keys(path: &str, keys: &mut Vec<String>) {
                $(<$type as Setting>::keys(&join(path, stringify!($field)), keys);)*
            }

            fn read(reader: &mut Reader, path: &str) -> Option<Self> {
                // All are read before the first that failed ends it, so that all problems are noted.
                $(
                    let name = join(path, stringify!($field));
                    let $field = <$type as Setting>::read(reader, &name);
                    $(let $field = reader.check(&name, $field, $rule);)?
                )*
                Some(Self { $($field: $field?,)* })
            }
        }
    )*};
}

pub(super) use sections;

/// The name of a setting in a section; Settings itself has none.
pub(super) fn join(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.to_owned()
    } else {
        format!("{path}.{field}")
    }
}
