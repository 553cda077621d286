public import Steering

/// The contents of a policy file, including the options for steerd.
public struct ServicePolicy: Sendable, Hashable {
    /// The policy.
    public let policy: Policy
    /// The options of labels for steerd.
    ///
    /// Labels without options may be used only by root and steerd's own user.
    public let services: [Label: ServiceOptions]
    /// The paths of the files that the policy file includes.
    public let included: [String]

    /// Creates a service policy.
    ///
    /// - Parameters:
    ///   - policy: The policy.
    ///   - services: The options of labels for steerd.
    ///   - included: The paths of the files that the policy file includes.
    public init(policy: Policy, services: [Label: ServiceOptions] = [:], included: [String] = []) {
        self.policy = policy
        self.services = services
        self.included = included
    }
}

/// The options of a label for steerd.
public struct ServiceOptions: Sendable, Hashable {
    /// The users and groups that may use the label.
    public var allowance: Allowance
    /// The command to start when clients are waiting and no process serves the label; `nil` for none.
    public var start: StartCommand?

    /// Creates the options of a label.
    ///
    /// - Parameters:
    ///   - allowance: The users and groups that may use the label; by default none.
    ///   - start: The command to start on demand; `nil` for none.
    public init(allowance: Allowance = Allowance(), start: StartCommand? = nil) {
        self.allowance = allowance
        self.start = start
    }
}

/// The users and groups, besides root, that may register and claim sockets of a label at steerd.
public struct Allowance: Sendable, Hashable {
    /// User IDs.
    public let users: Set<UInt32>
    /// Group IDs.
    ///
    /// Members by primary or supplementary group are allowed.
    public let groups: Set<UInt32>

    /// Creates an allowance.
    ///
    /// - Parameters:
    ///   - users: User IDs.
    ///   - groups: Group IDs.
    public init(users: Set<UInt32> = [], groups: Set<UInt32> = []) {
        self.users = users
        self.groups = groups
    }
}

/// A program that steerd starts.
public struct StartCommand: Sendable, Hashable {
    /// The program's absolute path and its arguments, executed without a shell.
    public let words: [String]
    /// The ID of the user to run it as; `nil` for steerd's own user.
    public let user: UInt32?

    /// Creates a command.
    ///
    /// - Parameters:
    ///   - words: The program's absolute path and its arguments.
    ///   - user: The ID of the user to run it as; `nil` for steerd's own user.
    public init(_ words: [String], user: UInt32? = nil) {
        self.words = words
        self.user = user
    }
}
