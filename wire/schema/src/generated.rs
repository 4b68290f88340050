//! The macros that generated model crates are written in, so that what is committed stays short.
//!
//! They expand to the few `impl`s that a type needs and to nothing clever. The index of a member
//! is spelled out in the generated code because a declarative macro cannot count.

/// `structure!(Type, SCHEMA, 0 first_field, 1 second_field)`
#[macro_export]
macro_rules! structure {
    ($type:ident, $schema:path $(, $index:literal $field:ident)* $(,)?) => {
        impl $crate::Struct for $type {
            fn schema(&self) -> &'static $crate::Schema {
                &$schema
            }
            fn field(&self, index: usize) -> &dyn $crate::Field {
                match index {
                    $($index => &self.$field,)*
                    _ => $crate::no_such_member(&$schema, index),
                }
            }
            fn field_mut(&mut self, index: usize) -> &mut dyn $crate::Field {
                match index {
                    $($index => &mut self.$field,)*
                    _ => $crate::no_such_member(&$schema, index),
                }
            }
        }
        impl ::std::fmt::Debug for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                $crate::debug(self, f)
            }
        }
    };
}

/// `union!(Type, SCHEMA, 0 FirstVariant, 1 SecondVariant)`; the variants hold one value each, and
/// `Type::Unset` holds none.
#[macro_export]
macro_rules! union {
    ($type:ident, $schema:path $(, $index:literal $variant:ident)* $(,)?) => {
        impl $crate::Struct for $type {
            fn schema(&self) -> &'static $crate::Schema {
                &$schema
            }
            fn field(&self, index: usize) -> &dyn $crate::Field {
                match (index, self) {
                    $(($index, Self::$variant(value)) => value,)*
                    _ => &None::<bool>,
                }
            }
            fn field_mut(&mut self, index: usize) -> &mut dyn $crate::Field {
                match index {
                    $($index => {
                        if !matches!(self, Self::$variant(_)) {
                            *self = Self::$variant(Default::default());
                        }
                        if let Self::$variant(value) = self {
                            return value;
                        }
                    })*
                    _ => {}
                }
                $crate::no_such_member(&$schema, index)
            }
        }
        impl ::std::fmt::Debug for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                $crate::debug(self, f)
            }
        }
    };
}

/// `operations!(SERVICE; Name = SPEC: Input => Output; ...)`: unit structs that stand for
/// operations, and `each`, which goes through all of them.
#[macro_export]
macro_rules! operations {
    ($service:path; $($name:ident = $spec:path: $input:ty => $output:ty;)*) => {$(
        pub struct $name;
        impl $crate::Operation for $name {
            type In = $input;
            type Out = $output;
            const SERVICE: &'static $crate::ServiceSpec = &$service;
            const SPEC: &'static $crate::OperationSpec = &$spec;
        }
    )*
        /// Hands every operation to `visit`, with an input and an output that hold nothing yet:
        /// for tests that go through a whole service.
        pub fn each(
            visit: &mut dyn FnMut(
                &'static $crate::OperationSpec,
                &mut dyn $crate::Struct,
                &mut dyn $crate::Struct,
            ),
        ) {
            $(visit(&$spec, &mut <$input>::default(), &mut <$output>::default());)*
        }
    };
}

/// An index comes from the very schema that the type was generated with; any other is a bug.
#[doc(hidden)]
#[cold]
pub fn no_such_member(schema: &crate::Schema, index: usize) -> ! {
    panic!("{} has no member {index}", schema.name)
}

#[cfg(test)]
mod tests {
    use crate::{Kind, Member, Schema, Slot, Struct, View};

    static TEXT: Schema = Schema::new("Text", Kind::String);
    static NUMBER: Schema = Schema::new("Number", Kind::Integer).sensitive();
    static PAIR: Schema = Schema::structure(
        "Pair",
        &[
            Member::new("Left", &TEXT).required(),
            Member::new("Right", &NUMBER),
        ],
    );
    static EITHER: Schema = Schema::structure(
        "Either",
        &[Member::new("Left", &TEXT), Member::new("Right", &NUMBER)],
    )
    .union();

    #[derive(Clone, Default)]
    struct Pair {
        left: String,
        right: Option<i32>,
    }
    structure!(Pair, PAIR, 0 left, 1 right);

    #[derive(Clone, Default)]
    enum Either {
        #[default]
        Unset,
        Left(String),
        Right(i32),
    }
    union!(Either, EITHER, 0 Left, 1 Right);

    #[test]
    fn a_structure_is_read_and_filled_by_index() {
        let mut pair = Pair::default();
        assert!(matches!(pair.field(1).view(), View::None));
        if let Slot::Int(right) = pair.field_mut(1).slot() {
            *right = 7;
        }
        if let Slot::Str(left) = pair.field_mut(0).slot() {
            left.push('x');
        }
        assert_eq!((pair.left.as_str(), pair.right), ("x", Some(7)));
        let printed = format!("{pair:?}");
        assert!(printed.contains("\"x\""), "{printed}");
        assert!(!printed.contains('7'), "sensitive: {printed}");
    }

    #[test]
    fn a_union_has_the_variant_that_was_asked_for_last() {
        let mut either = Either::default();
        assert!(matches!(either.field(0).view(), View::None));
        either.field_mut(0).slot();
        assert!(matches!(either, Either::Left(_)));
        if let Slot::Int(right) = either.field_mut(1).slot() {
            *right = 7;
        }
        either.field_mut(1).slot();
        assert!(matches!(either, Either::Right(7)), "kept when asked again");
        assert!(matches!(either.field(0).view(), View::None));
        assert!(matches!(either.field(1).view(), View::Int(7)));
        assert!(matches!(Either::Unset.field(1).view(), View::None));
    }

    #[test]
    #[should_panic(expected = "Pair has no member 2")]
    fn a_foreign_index_is_a_bug() {
        Pair::default().field(2);
    }
}
