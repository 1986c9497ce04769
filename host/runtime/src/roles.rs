//! Roles: what a service does of scheduling, working, and answering.

use serde::Serialize;

/// A part of what a service does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Queues the runs that the schedule names, and maintains the lake. Of several schedulers one queues each moment.
    Scheduler,
    /// Takes runs from the queue.
    Worker,
    /// Answers HTTP, where the settings say so.
    Api,
    /// Answers clients of PostgreSQL and of Flight SQL, where the settings say so.
    Query,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Scheduler, Self::Worker, Self::Api, Self::Query];

    /// Its name on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::Worker => "worker",
            Self::Api => "api",
            Self::Query => "query",
        }
    }

    /// The role that the command line and tables call so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// The roles of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles(Vec<Role>);

impl Roles {
    /// These; all without any.
    pub fn of(roles: &[Role]) -> Self {
        Self(if roles.is_empty() { Role::ALL.to_vec() } else { roles.to_vec() })
    }

    /// Whether it has a role.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// By their names, in the order of [`Role::ALL`] or as they were given.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|role| role.name().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_without_roles_has_all() {
        assert!(Role::ALL.into_iter().all(|role| Roles::of(&[]).has(role)));
        let worker = Roles::of(&[Role::Worker]);
        assert!(worker.has(Role::Worker) && !worker.has(Role::Scheduler));
        assert!(Role::ALL.into_iter().all(|role| Role::named(role.name()) == Some(role)));
        assert_eq!(Role::named("workers"), None);
    }
}
