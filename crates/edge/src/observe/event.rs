//! Events and their fields.

use std::fmt;

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Part of normal work.
    Info,
    /// A failure that the application copes with: it repeats, or goes on without.
    Warn,
    /// A failure that a caller notices, or that needs a person.
    Error,
}

/// Something that happened. [`events!`](crate::events!) declares enums of events.
pub trait Event {
    /// The name, in snake case and unique in an application.
    fn name(&self) -> &'static str;

    /// The level.
    fn level(&self) -> Level;

    /// Calls `visit` with the name and the value of each field, in the order of the declaration.
    fn visit(&self, visit: &mut dyn FnMut(&'static str, Value<'_>));
}

/// The value of a field.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// Text: a name from a list that the field's description gives, or an id.
    Text(&'a str),
    /// Text that is written only if somebody reads it.
    Cause(Cause<'a>),
    /// A number.
    Number(u64),
    /// True or false.
    Bool(bool),
    /// Text that is left out.
    NoText,
    /// A number, or true or false, that is left out.
    NoNumber,
}

/// The cause of a failure: the text of an error. Errors hold no secret and nothing of a user's data.
#[derive(Clone, Copy)]
pub struct Cause<'a>(pub &'a dyn fmt::Display);

impl fmt::Debug for Cause<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Cause({})", self.0)
    }
}

/// The length of a [`UserHash`] in hex digits.
const USER_HASH_DIGITS: usize = 16;

/// A pseudonym of a user: the first 64 bits of a keyed hash of the user's id, in hex. Events of one user have the
/// same one, and without the key it leads back to no user.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UserHash([u8; USER_HASH_DIGITS]);

impl UserHash {
    /// The pseudonym of a message authentication code over the user's id.
    #[must_use]
    pub fn new(code: &[u8; 32]) -> Self {
        let digit = |value: u8| b"0123456789abcdef"[usize::from(value & 0xf)];
        Self(std::array::from_fn(|index| {
            let byte = code[index / 2];
            digit(if index % 2 == 0 { byte >> 4 } else { byte })
        }))
    }

    /// The hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for UserHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A type of fields.
pub trait FieldValue {
    /// The type in the table of events.
    const TYPE: &'static str;
    /// The value of an `Option` of the type that is `None`.
    const ABSENT: Value<'static> = Value::NoText;

    /// The value.
    fn value(&self) -> Value<'_>;
}

impl FieldValue for &str {
    const TYPE: &'static str = "text";

    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl FieldValue for Cause<'_> {
    const TYPE: &'static str = "text";

    fn value(&self) -> Value<'_> {
        Value::Cause(*self)
    }
}

impl FieldValue for UserHash {
    const TYPE: &'static str = "user";

    fn value(&self) -> Value<'_> {
        Value::Text(self.as_str())
    }
}

impl FieldValue for u32 {
    const TYPE: &'static str = "number";
    const ABSENT: Value<'static> = Value::NoNumber;

    fn value(&self) -> Value<'_> {
        Value::Number(u64::from(*self))
    }
}

impl FieldValue for bool {
    const TYPE: &'static str = "boolean";
    const ABSENT: Value<'static> = Value::NoNumber;

    fn value(&self) -> Value<'_> {
        Value::Bool(*self)
    }
}

impl<T: FieldValue> FieldValue for Option<T> {
    const TYPE: &'static str = T::TYPE;
    const ABSENT: Value<'static> = T::ABSENT;

    fn value(&self) -> Value<'_> {
        self.as_ref().map_or(T::ABSENT, FieldValue::value)
    }
}

/// An event in the table of events.
#[derive(Debug, Clone, Copy)]
pub struct EventDescription {
    /// [`Event::name`].
    pub name: &'static str,
    /// [`Event::level`].
    pub level: Level,
    /// The lines of its documentation.
    pub about: &'static [&'static str],
    /// Its fields, in order.
    pub fields: &'static [FieldDescription],
}

/// A field in the table of events.
#[derive(Debug, Clone, Copy)]
pub struct FieldDescription {
    /// Its name.
    pub name: &'static str,
    /// [`FieldValue::TYPE`].
    pub kind: &'static str,
    /// The lines of its documentation.
    pub about: &'static [&'static str],
}

/// Declares an enum of events: each variant has a level, a name and fields, and each of them a description.
///
/// ```
/// use edge_host::{Emit, Event, events};
///
/// events! {
///     /// What a shop reports.
///     pub enum ShopEvent<'a> {
///         /// A customer paid.
///         Info Paid = "paid" {
///             /// The method, such as `card`.
///             method: &'a str,
///             /// The number of articles.
///             articles: u32,
///         }
///     }
/// }
///
/// let event = ShopEvent::Paid { method: "card", articles: 2 };
/// assert_eq!(event.name(), "paid");
/// assert_eq!(ShopEvent::TABLE[0].fields[1].name, "articles");
/// event.emit();
/// ```
///
/// `TABLE` describes every event, for documents and tests. The enum is `#[non_exhaustive]`.
#[macro_export]
macro_rules! events {
    (
        $(#[doc = $about:literal])+
        $visibility:vis enum $name:ident<$lifetime:lifetime> {
            $(
                $(#[doc = $event_about:literal])+
                $level:ident $variant:ident = $event:literal {
                    $( $(#[doc = $field_about:literal])+ $field:ident: $type:ty, )*
                }
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy)]
        #[non_exhaustive]
        $visibility enum $name<$lifetime> {
            $(
                $(#[doc = $event_about])+
                $variant { $( $(#[doc = $field_about])+ $field: $type, )* },
            )+
        }

        impl<$lifetime> $name<$lifetime> {
            /// Every event, in the order of the declaration.
            $visibility const TABLE: &'static [$crate::EventDescription] = &[
                $(
                    $crate::EventDescription {
                        name: $event,
                        level: $crate::Level::$level,
                        about: &[$($event_about),+],
                        fields: &[
                            $(
                                $crate::FieldDescription {
                                    name: stringify!($field),
                                    kind: <$type as $crate::FieldValue>::TYPE,
                                    about: &[$($field_about),+],
                                },
                            )*
                        ],
                    },
                )+
            ];
        }

        impl $crate::Event for $name<'_> {
            fn name(&self) -> &'static str {
                match self {
                    $( Self::$variant { .. } => $event, )+
                }
            }

            fn level(&self) -> $crate::Level {
                match self {
                    $( Self::$variant { .. } => $crate::Level::$level, )+
                }
            }

            fn visit(&self, visit: &mut dyn FnMut(&'static str, $crate::Value<'_>)) {
                match self {
                    $(
                        Self::$variant { $($field),* } => {
                            $( visit(stringify!($field), $crate::FieldValue::value($field)); )*
                        }
                    )+
                }
            }
        }
    };
}
