import Glibc
public import Steering

/// Who, beside root, may register and claim sockets as a label at steerd.
public struct Allowance: Sendable, Hashable {
    /// Users, by number.
    public let users: Set<UInt32>
    /// Groups, by number: whoever is a member, by whichever of their groups.
    public let groups: Set<UInt32>

    /// Allows users and members of groups.
    public init(users: Set<UInt32> = [], groups: Set<UInt32> = []) {
        self.users = users
        self.groups = groups
    }
}

/// What a policy file says, for steerd too.
public struct ServicePolicy: Sendable, Hashable {
    /// The policy.
    public let policy: Policy
    /// By label, what its file allows. Labels that are not here allow nobody but root and steerd's own user.
    public let allowances: [Label: Allowance]
}

/// Reads `allow: { users: [www-data, 1000], groups: web }`.
struct AllowanceDecoder {
    let source: Source
    /// Whether names must be those of this machine's users and groups. A file can be checked elsewhere, too.
    let findsAccounts: Bool

    func allowance(_ node: Node) throws(SteeringError) -> Allowance {
        let fields = try Mapping(node, "allow", keys: ["users", "groups"], in: source)
        guard !fields.entries.isEmpty else {
            throw source.error(at: node.position, "allow names nobody: write users or groups, or leave it out")
        }
        return Allowance(
            users: try fields["users"].map(users) ?? [], groups: try fields["groups"].map(groups) ?? [])
    }

    private func users(_ node: Node) throws(SteeringError) -> Set<UInt32> {
        try numbers(of: node, "users", "user") { getpwnam($0)?.pointee.pw_uid }
    }

    private func groups(_ node: Node) throws(SteeringError) -> Set<UInt32> {
        try numbers(of: node, "groups", "group") { getgrnam($0)?.pointee.gr_gid }
    }

    private func numbers(
        of node: Node, _ subject: String, _ kind: String, find: (String) -> UInt32?
    ) throws(SteeringError) -> Set<UInt32> {
        let hint = "write the name or the number of a \(kind), or a list of them"
        var numbers: Set<UInt32> = []
        for element in try source.elements(of: node, subject, hint) {
            let text = try source.text(element, of: subject, hint)
            // The greatest number means nobody to the kernel.
            if let number = UInt32(text), String(number) == text, number < .max {
                numbers.insert(number)
            } else if let number = findsAccounts ? find(text) : 0 {
                numbers.insert(number)
            } else {
                throw source.error(
                    at: element.position, "this machine has no \(kind) \(quoted(text)): make it first, or \(hint)")
            }
        }
        return numbers
    }
}
