//! The ways to the rows of a flush that all of its sources have.

/// The two ways to the rows of a [`Source`] that has them in its field `incoming`.
macro_rules! has_incoming {
    () => {
        fn incoming(&self) -> &Incoming {
            &self.incoming
        }

        fn incoming_mut(&mut self) -> &mut Incoming {
            &mut self.incoming
        }
    };
}
pub(crate) use has_incoming;
