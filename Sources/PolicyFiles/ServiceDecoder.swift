import Glibc
import Documents
import Steering

/// Decodes the options of a label that only steerd uses: `allow` and `start`.
struct ServiceDecoder {
    let source: Source
    /// Whether users and groups must exist on this machine.
    ///
    /// `false` allows checking a file elsewhere.
    let findsAccounts: Bool

    static let keys = ["allow", "start"]

    /// Returns the options, or `nil` if there is neither `allow` nor `start`.
    func options(_ fields: Mapping) throws(DocumentError) -> ServiceOptions? {
        let allowance = try fields["allow"].map(allowance), start = try fields["start"].map(start)
        guard allowance != nil || start != nil else { return nil }
        return ServiceOptions(allowance: allowance ?? Allowance(), start: start)
    }

    /// Decodes `allow: { users: [www-data, 1000], groups: web }`.
    private func allowance(_ node: Node) throws(DocumentError) -> Allowance {
        let fields = try Mapping(node, "allow", keys: ["users", "groups"], in: source)
        guard !fields.entries.isEmpty else {
            throw source.error(at: node.position, "allow names nobody: write users or groups, or leave it out")
        }
        return Allowance(
            users: try fields["users"].map(users) ?? [], groups: try fields["groups"].map(groups) ?? [])
    }

    /// Decodes `start: /usr/bin/web --quiet` or `start: { command: [/usr/bin/web, --quiet], user: www-data }`.
    private func start(_ node: Node) throws(DocumentError) -> StartCommand {
        guard case .mapping = node.content else { return StartCommand(try words(of: node)) }
        let fields = try Mapping(node, "start", keys: ["command", "user"], in: source)
        let command = try fields.required("command", Self.commandHint)
        return StartCommand(
            try words(of: command),
            user: try fields["user"].map { node throws(DocumentError) in
                try account(node, "user", "user", "write the name or the number of a user", Self.findUser)
            })
    }

    private static let commandHint = "write a program by its absolute path, and its arguments"

    /// Returns the words of a command: the elements of a list, or a text split at spaces.
    private func words(of node: Node) throws(DocumentError) -> [String] {
        var words: [String] = []
        if case .text(let text) = node.content {
            words = text.split(separator: " ").map(String.init)
        } else {
            for element in try source.elements(of: node, "command", Self.commandHint) {
                words.append(try source.text(element, of: "a word of a command", Self.commandHint))
            }
        }
        guard words.first?.hasPrefix("/") == true else {
            throw source.error(
                at: node.position, "the command does not begin with an absolute path: \(Self.commandHint)")
        }
        return words
    }

    // MARK: - Accounts

    private func users(_ node: Node) throws(DocumentError) -> Set<UInt32> {
        try numbers(of: node, "users", "user", Self.findUser)
    }

    private func groups(_ node: Node) throws(DocumentError) -> Set<UInt32> {
        try numbers(of: node, "groups", "group") { getgrnam($0)?.pointee.gr_gid }
    }

    private static func findUser(_ name: String) -> UInt32? { getpwnam(name)?.pointee.pw_uid }

    private func numbers(
        of node: Node, _ subject: String, _ kind: String, _ find: (String) -> UInt32?
    ) throws(DocumentError) -> Set<UInt32> {
        let hint = "write the name or the number of a \(kind), or a list of them"
        var numbers: Set<UInt32> = []
        for element in try source.elements(of: node, subject, hint) {
            numbers.insert(try account(element, subject, kind, hint, find))
        }
        return numbers
    }

    private func account(
        _ node: Node, _ subject: String, _ kind: String, _ hint: String, _ find: (String) -> UInt32?
    ) throws(DocumentError) -> UInt32 {
        let text = try source.text(node, of: subject, hint)
        // The kernel reserves the highest number as the invalid ID.
        if let number = UInt32(text), String(number) == text, number < .max { return number }
        if let number = findsAccounts ? find(text) : 0 { return number }
        throw source.error(
            at: node.position, "this machine has no \(kind) \(quoted(text)): create it first, or \(hint)")
    }
}
