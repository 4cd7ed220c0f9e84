// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Matching of LDAP filters. Values are compared case-sensitively, attribute names are not.

use ldap3_proto::LdapFilter;
use ldap3_proto::proto::LdapSubstringFilter;

use super::directory::Entry;

/// Returns whether the entry matches. Approximate and extensible tests match nothing.
pub(super) fn matches(filter: &LdapFilter, entry: &Entry) -> bool {
    let any = |name: &str, test: &dyn Fn(&str, &str) -> bool, wanted: &str| {
        let name = name.to_ascii_lowercase();
        // Object classes are stored in lower case.
        let wanted = if name == "objectclass" { wanted.to_lowercase() } else { wanted.to_owned() };
        entry.values(&name).iter().any(|value| test(value, &wanted))
    };
    match filter {
        LdapFilter::And(filters) => filters.iter().all(|filter| matches(filter, entry)),
        LdapFilter::Or(filters) => filters.iter().any(|filter| matches(filter, entry)),
        LdapFilter::Not(filter) => !matches(filter, entry),
        LdapFilter::Present(name) => !entry.values(&name.to_ascii_lowercase()).is_empty(),
        LdapFilter::Equality(name, wanted) => any(name, &|value, wanted| value == wanted, wanted),
        LdapFilter::GreaterOrEqual(name, bound) => any(name, &|value, bound| value >= bound, bound),
        LdapFilter::LessOrEqual(name, bound) => any(name, &|value, bound| value <= bound, bound),
        LdapFilter::Substring(name, parts) => {
            entry.values(&name.to_ascii_lowercase()).iter().any(|value| has_parts(value, parts))
        }
        LdapFilter::Approx(..) | LdapFilter::Extensible(_) => false,
    }
}

fn has_parts(value: &str, parts: &LdapSubstringFilter) -> bool {
    let Some(mut rest) = value.strip_prefix(parts.initial.as_deref().unwrap_or_default()) else {
        return false;
    };
    for part in &parts.any {
        match rest.split_once(part.as_str()) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(parts.final_.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ufds::Directory;
    use ldap3_proto::parse_ldap_filter_str;

    fn matching(filter: &str) -> bool {
        let text =
            "dn: o=x\nobjectClass: sdcPerson\nlogin: Vader\nemail: a@example.com\nemail: b@example.com\n";
        let directory = Directory::from_ldif(text).unwrap();
        matches(&parse_ldap_filter_str(filter).unwrap(), &directory.entries()[0])
    }

    #[test]
    fn names_ignore_case_and_values_do_not() {
        assert!(matching("(LOGIN=Vader)"));
        assert!(!matching("(login=vader)"));
        assert!(matching("(objectclass=SDCperson)"));
        assert!(matching("(email=b@example.com)"));
    }

    #[test]
    fn every_form() {
        assert!(matching("(&(login=*)(!(missing=*)))"));
        assert!(matching("(|(login=x)(login>=V))"));
        assert!(!matching("(login<=V)"));
        assert!(matching("(login=V*d*r)"));
        assert!(!matching("(login=V*der*r)"));
        assert!(matching("(email=*@example*)"));
        assert!(!matching("(missing=a*)"));
    }
}
