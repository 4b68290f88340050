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
/// operations.
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
    )*};
}

/// An index comes from the very schema that the type was generated with; any other is a bug.
#[doc(hidden)]
#[cold]
pub fn no_such_member(schema: &crate::Schema, index: usize) -> ! {
    panic!("{} has no member {index}", schema.name)
}
