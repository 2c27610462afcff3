//! The schemas that are kept: the one place that says what an attribute is.

/// What kind of value an attribute has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    String,
    /// True or false.
    Boolean,
    /// A time, as RFC 3339 writes it.
    DateTime,
    /// The address of a resource.
    Reference,
    /// An object of sub-attributes.
    Complex,
}

impl Kind {
    /// As `/Schemas` says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Boolean => "boolean",
            Self::DateTime => "dateTime",
            Self::Reference => "reference",
            Self::Complex => "complex",
        }
    }
}

/// Who may set an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutability {
    ReadWrite,
    ReadOnly,
    Immutable,
}

impl Mutability {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ReadWrite => "readWrite",
            Self::ReadOnly => "readOnly",
            Self::Immutable => "immutable",
        }
    }
}

/// One attribute.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "RFC 7643 says each of them by itself")]
pub struct Attribute {
    /// Its name, as answers write it.
    pub name: &'static str,
    /// What kind of value it has.
    pub kind: Kind,
    /// Whether it has any number of them.
    pub is_multi: bool,
    pub(crate) is_required: bool,
    pub(crate) is_case_exact: bool,
    pub(crate) is_always: bool,
    pub(crate) is_unique: bool,
    pub(crate) mutability: Mutability,
    pub(crate) canonical: &'static [&'static str],
    pub(crate) references: &'static [&'static str],
    /// Its sub-attributes, if it is complex.
    pub sub: &'static [Attribute],
    pub(crate) description: &'static str,
}

/// Attributes that belong together.
#[derive(Debug)]
pub struct Schema {
    /// Its URN.
    pub id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    /// Its attributes.
    pub attributes: &'static [Attribute],
}

/// What there is a collection of.
#[derive(Debug)]
pub struct ResourceType {
    /// Its name.
    pub name: &'static str,
    /// Where the collection is, below the base address.
    pub endpoint: &'static str,
    /// What every one has.
    pub schema: &'static Schema,
    /// What one may have besides.
    pub extensions: &'static [&'static Schema],
    pub(crate) description: &'static str,
    /// Attributes of the standard schemas that are well known and not kept; whoever sends them is not refused.
    pub(crate) not_kept: &'static [&'static str],
}

const ATTRIBUTE: Attribute = Attribute {
    name: "",
    kind: Kind::String,
    is_multi: false,
    is_required: false,
    is_case_exact: false,
    is_always: false,
    is_unique: false,
    mutability: Mutability::ReadWrite,
    canonical: &[],
    references: &[],
    sub: &[],
    description: "",
};

const fn text(name: &'static str, description: &'static str) -> Attribute {
    Attribute { name, description, ..ATTRIBUTE }
}

const fn flag(name: &'static str, description: &'static str) -> Attribute {
    Attribute { name, description, kind: Kind::Boolean, ..ATTRIBUTE }
}

/// What every resource has (RFC 7643, 3.1).
pub(crate) static COMMON: [Attribute; 4] = [
    Attribute {
        is_multi: true,
        is_required: true,
        is_case_exact: true,
        is_always: true,
        kind: Kind::Reference,
        references: &["uri"],
        ..text("schemas", "The schemas of the resource.")
    },
    Attribute {
        is_case_exact: true,
        is_always: true,
        mutability: Mutability::ReadOnly,
        ..text("id", "What the gateway calls it.")
    },
    Attribute { is_case_exact: true, ..text("externalId", "What the client calls it.") },
    Attribute {
        kind: Kind::Complex,
        mutability: Mutability::ReadOnly,
        sub: &META,
        ..text("meta", "What the gateway knows of it.")
    },
];

static META: [Attribute; 5] = [
    Attribute {
        is_case_exact: true,
        mutability: Mutability::ReadOnly,
        ..text("resourceType", "Its resource type.")
    },
    Attribute {
        kind: Kind::DateTime,
        mutability: Mutability::ReadOnly,
        ..text("created", "Since when it is there.")
    },
    Attribute {
        kind: Kind::DateTime,
        mutability: Mutability::ReadOnly,
        ..text("lastModified", "When it changed last.")
    },
    Attribute {
        kind: Kind::Reference,
        is_case_exact: true,
        mutability: Mutability::ReadOnly,
        references: &["uri"],
        ..text("location", "Where it is.")
    },
    Attribute {
        is_case_exact: true,
        mutability: Mutability::ReadOnly,
        ..text("version", "Its ETag.")
    },
];

static NAME: [Attribute; 6] = [
    text("formatted", "The whole name."),
    text("familyName", "The family's name."),
    text("givenName", "The first name."),
    text("middleName", "Further names."),
    text("honorificPrefix", "A title before the name."),
    text("honorificSuffix", "What follows the name."),
];

static EMAILS: [Attribute; 4] = [
    text("value", "The address."),
    text("display", "How it is shown."),
    Attribute { canonical: &["work", "home", "other"], ..text("type", "What it is for.") },
    flag("primary", "Whether it is the one to use; by it, a person signs in."),
];

static GROUPS: [Attribute; 4] = [
    Attribute {
        is_case_exact: true,
        mutability: Mutability::ReadOnly,
        ..text("value", "The id of the group.")
    },
    Attribute {
        kind: Kind::Reference,
        is_case_exact: true,
        mutability: Mutability::ReadOnly,
        references: &["Group"],
        ..text("$ref", "Where the group is.")
    },
    Attribute { mutability: Mutability::ReadOnly, ..text("display", "The group's name.") },
    Attribute {
        mutability: Mutability::ReadOnly,
        canonical: &["direct"],
        ..text("type", "Groups have people as members only, so always `direct`.")
    },
];

static USER_ATTRIBUTES: [Attribute; 6] = [
    Attribute {
        is_required: true,
        is_unique: true,
        ..text(
            "userName",
            "What the person is called in the identity provider; nobody else in the tenant is.",
        )
    },
    Attribute {
        kind: Kind::Complex,
        sub: &NAME,
        ..text("name", "The parts of the person's name.")
    },
    text("displayName", "The name to show."),
    flag("active", "Whether the person may be anything in the tenant; true unless it is said."),
    Attribute {
        kind: Kind::Complex,
        is_multi: true,
        sub: &EMAILS,
        ..text("emails", "Addresses; by the primary one, or else the first, the person signs in.")
    },
    Attribute {
        kind: Kind::Complex,
        is_multi: true,
        mutability: Mutability::ReadOnly,
        sub: &GROUPS,
        ..text("groups", "The groups that the person is in; changed by the groups.")
    },
];

static MEMBERS: [Attribute; 3] = [
    Attribute {
        is_case_exact: true,
        mutability: Mutability::Immutable,
        ..text("value", "The id of the person.")
    },
    Attribute {
        kind: Kind::Reference,
        is_case_exact: true,
        mutability: Mutability::Immutable,
        references: &["User"],
        ..text("$ref", "Where the person is.")
    },
    Attribute {
        mutability: Mutability::Immutable,
        canonical: &["User"],
        ..text("type", "Groups have people as members only, so always `User`.")
    },
];

static GROUP_ATTRIBUTES: [Attribute; 2] = [
    Attribute {
        is_required: true,
        is_unique: true,
        ..text("displayName", "The group's name; no other one in the tenant has it.")
    },
    Attribute {
        kind: Kind::Complex,
        is_multi: true,
        sub: &MEMBERS,
        ..text("members", "The people in it.")
    },
];

static EXTENSION_ATTRIBUTES: [Attribute; 1] = [Attribute {
    is_case_exact: true,
    canonical: &["tenant_admin", "developer", "viewer", "auditor"],
    ..text("role", "The role that the group's members have in the tenant.")
}];

static USER_SCHEMA: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:core:2.0:User",
    name: "User",
    description: "A person.",
    attributes: &USER_ATTRIBUTES,
};

static GROUP_SCHEMA: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:core:2.0:Group",
    name: "Group",
    description: "People who are the same in the tenant.",
    attributes: &GROUP_ATTRIBUTES,
};

/// What a group gives to its members.
pub static GROUP_EXTENSION: Schema = Schema {
    id: "urn:weir:scim:schemas:extension:2.0:Group",
    name: "GroupRole",
    description: "What a group gives to its members.",
    attributes: &EXTENSION_ATTRIBUTES,
};

/// People.
pub static USER: ResourceType = ResourceType {
    name: "User",
    endpoint: "/Users",
    schema: &USER_SCHEMA,
    extensions: &[],
    description: "People of the tenant.",
    not_kept: &[
        "nickname",
        "profileurl",
        "title",
        "usertype",
        "preferredlanguage",
        "locale",
        "timezone",
        "password",
        "phonenumbers",
        "ims",
        "photos",
        "addresses",
        "entitlements",
        "roles",
        "x509certificates",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:user",
    ],
};

/// Groups of people.
pub static GROUP: ResourceType = ResourceType {
    name: "Group",
    endpoint: "/Groups",
    schema: &GROUP_SCHEMA,
    extensions: &[&GROUP_EXTENSION],
    description: "Groups of people, and the roles that they give.",
    not_kept: &[],
};

impl Attribute {
    /// The sub-attribute of that name, in whatever case.
    pub fn sub(&self, name: &str) -> Option<&'static Attribute> {
        find(self.sub, name)
    }

    /// The sub-attribute by which values are compared if none is named.
    pub(crate) fn value(&self) -> Option<&'static Attribute> {
        self.sub("value")
    }
}

impl ResourceType {
    /// The core attribute of that name, in whatever case.
    pub(crate) fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        find(&COMMON, name).or_else(|| find(self.schema.attributes, name))
    }

    pub(crate) fn extension(&self, id: &str) -> Option<&'static Schema> {
        self.extensions.iter().find(|schema| schema.id.eq_ignore_ascii_case(id)).copied()
    }

    /// Whether somebody may send it without anything coming of it.
    pub(crate) fn is_not_kept(&self, schema: Option<&str>, name: &str) -> bool {
        let is_listed = |text: &str| self.not_kept.iter().any(|it| it.eq_ignore_ascii_case(text));
        match schema {
            Some(schema) if !schema.eq_ignore_ascii_case(self.schema.id) => is_listed(schema),
            _ => is_listed(name),
        }
    }
}

pub(crate) fn find(attributes: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}
