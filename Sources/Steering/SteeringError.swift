/// Why something could not be done: one sentence with what, why and the remedy.
///
/// Whatever throws this has changed nothing.
public struct SteeringError: Error, Sendable, CustomStringConvertible {
    /// What kind of error it is; new kinds may come.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        enum Value: String, Sendable {
            case invalidLabel, invalidInterfaceName, invalidBinding, emptyPolicy, conflictingBindings, unknownBinding
            case tooManyLabels, tooManyBindings, tablesTooLarge, unknownInterface, unknownLabel
            case missingCapability, unsupportedKernel, programRejected, tooManyPrograms
            case networkNamespaceUnavailable, networkNamespaceGone, detached
            case invalidDescriptor, notASocket, unixSocket, multipathTCP, udpLite, unsupportedProtocol
            case socketConnected, socketNotListening, socketNotBound, socketBoundToDevice, foreignNetworkNamespace
            case destinationOccupied, socketNotRegistered
            case invalidPolicyFile
            case notLoaded, alreadyLoaded, storageUnavailable, damagedState, olderLayout, newerLayout, busy
            case processUnavailable, socketNotFound, ambiguousSocket, invalidEnvironment
            case invalidAddress, addressUnavailable, systemCall
            case serviceUnavailable, invalidMessage, unsupportedVersion, notAllowed, tooManySockets, programUnavailable
        }
        let value: Value

        init(value: Value) { self.value = value }

        /// The code of a name; nil for one that this version does not know.
        init?(_ name: some StringProtocol) {
            guard let value = Value(rawValue: String(name)) else { return nil }
            self.value = value
        }

        /// The code's name, stable.
        public var description: String { value.rawValue }

        /// Text that is not a label.
        public static let invalidLabel = Code(value: .invalidLabel)
        /// Text that is not the name of a network interface.
        public static let invalidInterfaceName = Code(value: .invalidInterfaceName)
        /// A binding that can match nothing.
        public static let invalidBinding = Code(value: .invalidBinding)
        /// A policy without bindings, where one with bindings is expected.
        public static let emptyPolicy = Code(value: .emptyPolicy)
        /// Two bindings that overlap, have equal precedence and differ in outcome.
        public static let conflictingBindings = Code(value: .conflictingBindings)
        /// A binding that is not in the policy.
        public static let unknownBinding = Code(value: .unknownBinding)
        /// More labels than the program has room for.
        public static let tooManyLabels = Code(value: .tooManyLabels)
        /// More bindings than are counted one by one.
        public static let tooManyBindings = Code(value: .tooManyBindings)
        /// Bindings whose tables would exceed the bound.
        public static let tablesTooLarge = Code(value: .tablesTooLarge)
        /// An interface that the network namespace does not have.
        public static let unknownInterface = Code(value: .unknownInterface)
        /// A label that no binding leads to.
        public static let unknownLabel = Code(value: .unknownLabel)
        /// The process lacks a capability.
        public static let missingCapability = Code(value: .missingCapability)
        /// The kernel has no sk_lookup, or was built without what it needs.
        public static let unsupportedKernel = Code(value: .unsupportedKernel)
        /// The verifier refused the program; ``SteeringError/cause`` has its log.
        public static let programRejected = Code(value: .programRejected)
        /// The network namespace has as many sk_lookup programs as it can hold.
        public static let tooManyPrograms = Code(value: .tooManyPrograms)
        /// A network namespace that cannot be opened or entered.
        public static let networkNamespaceUnavailable = Code(value: .networkNamespaceUnavailable)
        /// The network namespace has ended, and the steering in it.
        public static let networkNamespaceGone = Code(value: .networkNamespaceGone)
        /// The steering was detached.
        public static let detached = Code(value: .detached)
        /// A number that is not an open descriptor.
        public static let invalidDescriptor = Code(value: .invalidDescriptor)
        /// A descriptor of something other than a socket.
        public static let notASocket = Code(value: .notASocket)
        /// A Unix domain socket.
        public static let unixSocket = Code(value: .unixSocket)
        /// A Multipath TCP socket.
        public static let multipathTCP = Code(value: .multipathTCP)
        /// A UDP-Lite socket.
        public static let udpLite = Code(value: .udpLite)
        /// A socket of another family or protocol (raw, SCTP, netlink ...).
        public static let unsupportedProtocol = Code(value: .unsupportedProtocol)
        /// A connected socket.
        public static let socketConnected = Code(value: .socketConnected)
        /// A TCP socket that does not listen.
        public static let socketNotListening = Code(value: .socketNotListening)
        /// A UDP socket that is not bound.
        public static let socketNotBound = Code(value: .socketNotBound)
        /// A socket that is bound to a device (SO_BINDTODEVICE).
        public static let socketBoundToDevice = Code(value: .socketBoundToDevice)
        /// A socket of another network namespace.
        public static let foreignNetworkNamespace = Code(value: .foreignNetworkNamespace)
        /// The destination has a socket already.
        public static let destinationOccupied = Code(value: .destinationOccupied)
        /// A label, or a socket under it, that is not registered.
        public static let socketNotRegistered = Code(value: .socketNotRegistered)
        /// A policy file that cannot be read as one; the message says where.
        public static let invalidPolicyFile = Code(value: .invalidPolicyFile)
        /// No steering is loaded in the network namespace.
        public static let notLoaded = Code(value: .notLoaded)
        /// A steering is loaded in the network namespace already.
        public static let alreadyLoaded = Code(value: .alreadyLoaded)
        /// bpffs is not mounted, is read-only or full, or may not be read.
        public static let storageUnavailable = Code(value: .storageUnavailable)
        /// What is pinned is not what a steering pins.
        public static let damagedState = Code(value: .damagedState)
        /// State that an older version pinned: upgrade it.
        public static let olderLayout = Code(value: .olderLayout)
        /// State that a newer version pinned.
        public static let newerLayout = Code(value: .newerLayout)
        /// Another process is changing the steering and did not end in time; or steerd has as many clients as it serves.
        public static let busy = Code(value: .busy)
        /// A process that is gone, or whose descriptors this one may not take.
        public static let processUnavailable = Code(value: .processUnavailable)
        /// No socket of a process or of the environment is the one that was asked for.
        public static let socketNotFound = Code(value: .socketNotFound)
        /// Several sockets could be meant.
        public static let ambiguousSocket = Code(value: .ambiguousSocket)
        /// Environment variables of socket activation that contradict themselves.
        public static let invalidEnvironment = Code(value: .invalidEnvironment)
        /// An address that is not of the expected family or form.
        public static let invalidAddress = Code(value: .invalidAddress)
        /// An address that cannot be bound or routed here.
        public static let addressUnavailable = Code(value: .addressUnavailable)
        /// No steerd answers.
        public static let serviceUnavailable = Code(value: .serviceUnavailable)
        /// A message that is not one of the protocol of steerd.
        public static let invalidMessage = Code(value: .invalidMessage)
        /// A message of another version of the protocol of steerd.
        public static let unsupportedVersion = Code(value: .unsupportedVersion)
        /// A label that this user may not use at steerd.
        public static let notAllowed = Code(value: .notAllowed)
        /// More sockets than steerd holds.
        public static let tooManySockets = Code(value: .tooManySockets)
        /// A program that cannot be run.
        public static let programUnavailable = Code(value: .programUnavailable)
        /// A system call failed in a way that has no code of its own; ``SteeringError/cause`` names it.
        public static let systemCall = Code(value: .systemCall)
    }

    /// What the kernel said.
    public enum Cause: Sendable, Hashable {
        /// A system call's name and its errno.
        case systemCall(String, errno: Int32)
        /// The verifier's log.
        case verifier(log: String)
    }

    /// The kind of error.
    public let code: Code
    /// One sentence: what, why, remedy.
    public let message: String
    /// What the kernel said, where it said anything.
    public let cause: Cause?

    package init(_ code: Code, _ message: String, cause: Cause? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// The message.
    public var description: String { message }

    /// The log of the kernel's verifier, where it refused the program.
    public var verifierLog: String? {
        if case .verifier(let log)? = cause { log } else { nil }
    }

    /// The message, and below it how the verifier's log ends, which says why.
    package var messageWithLog: String {
        let end = verifierLog?.split(separator: "\n").suffix(20) ?? []
        return ([message] + end.map { "  verifier: \($0)" }).joined(separator: "\n")
    }
}

extension SteeringError {
    static func invalidLabel(_ text: some StringProtocol, _ problem: String) -> SteeringError {
        let shown = String(text.prefix(80)).debugDescription
        return SteeringError(
            .invalidLabel,
            "label \(shown) \(problem): use 1 to \(Label.maximumLength) of A-Z a-z 0-9 . _ -, beginning with a letter or digit"
        )
    }

    static func invalidInterfaceName(_ text: some StringProtocol, _ problem: String) -> SteeringError {
        SteeringError(
            .invalidInterfaceName,
            "interface \(quoted(text)) \(problem): use a name that `ip link` shows, "
                + "1 to \(InterfaceName.maximumLength) visible characters of ASCII without / and :")
    }

    static func bindingOfTwoFamilies(_ prefix: IPPrefix, _ source: IPPrefix) -> SteeringError {
        SteeringError(
            .invalidBinding,
            "the binding of \(prefix) has the source \(source), of another family, and would match nothing: "
                + "give a source of \(prefix.family), or none")
    }

    static func bindingWithoutPorts(_ prefix: IPPrefix) -> SteeringError {
        SteeringError(
            .invalidBinding,
            "the binding of \(prefix) names no port and would match nothing: give ports, or .all for every port")
    }

    static let bindingWithoutAddresses = SteeringError(
        .invalidBinding, "the pool to bind has no address, so the binding would match nothing: give it a prefix")

    package static let emptyPolicy = SteeringError(
        .emptyPolicy,
        "the policy has no binding, and applying it would stop all steering: remove the bindings, or unload, if that is meant"
    )

    static func conflict(_ one: Binding, _ other: Binding) -> SteeringError {
        let ports = one.ports.intersection(other.ports)
        return SteeringError(
            .conflictingBindings,
            "bindings '\(one)' and '\(other)' have equal precedence and differ for \(one.prefix) port \(ports)\(one.condition): "
                + "make one narrower, or remove it")
    }

    static func tooManyLabels(_ limit: Int) -> SteeringError {
        SteeringError(
            .tooManyLabels,
            "the policy and the registered sockets name more than \(limit) labels: join labels that share a socket")
    }

    static func tablesTooLarge(_ limit: Int) -> SteeringError {
        SteeringError(
            .tablesTooLarge,
            "the tables for these bindings exceed \(limit / 1_048_576) MiB: use fewer bindings, or fewer distinct port sets"
        )
    }

    static func unknownInterface(_ interface: InterfaceName) -> SteeringError {
        SteeringError(
            .unknownInterface,
            "the network namespace has no interface \(interface): create it first, or take one that `ip link` lists")
    }

    /// For a policy with an interface, on a kernel that does not tell programs on which one a packet arrives.
    static func interfacesUnsupported(_ interface: InterfaceName) -> SteeringError {
        SteeringError(
            .unsupportedKernel,
            "this kernel does not tell programs on which interface a packet arrives, so nothing can be bound on "
                + "\(interface): use Linux 5.17 or newer, or bindings without an interface")
    }
}
