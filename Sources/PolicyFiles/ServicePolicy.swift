public import Steering

/// What a policy file says, for steerd too.
public struct ServicePolicy: Sendable, Hashable {
    /// The policy.
    public let policy: Policy
    /// What the file says of labels beside that. Labels that are not here allow nobody but root and steerd's own user.
    public let services: [Label: ServiceOptions]

    /// Makes one.
    public init(policy: Policy, services: [Label: ServiceOptions] = [:]) {
        self.policy = policy
        self.services = services
    }
}

/// What steerd does for the services of a label.
public struct ServiceOptions: Sendable, Hashable {
    /// Who may use the label.
    public var allowance: Allowance
    /// What is started when something waits and nobody serves; nil for nothing.
    public var start: StartCommand?

    /// Makes options.
    public init(allowance: Allowance = Allowance(), start: StartCommand? = nil) {
        self.allowance = allowance
        self.start = start
    }
}

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

/// A program that steerd starts.
public struct StartCommand: Sendable, Hashable {
    /// The program, by an absolute path, and its arguments. No shell reads them.
    public let words: [String]
    /// Who runs it, by number; nil for steerd's own user.
    public let user: UInt32?

    /// Makes a command.
    public init(_ words: [String], user: UInt32? = nil) {
        self.words = words
        self.user = user
    }
}
