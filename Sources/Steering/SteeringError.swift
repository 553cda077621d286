/// An error thrown by this library: one sentence with the failure, its cause and the remedy.
///
/// An operation that throws has changed nothing, unless the message says that the change is in force and only cleaning
/// up failed.
public struct SteeringError: Error, Sendable, CustomStringConvertible {
    /// The kind of an error; more kinds may be added.
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

        /// Returns the code with a name; nil if this version has none.
        init?(_ name: some StringProtocol) {
            guard let value = Value(rawValue: String(name)) else { return nil }
            self.value = value
        }

        /// The code's name; stable.
        public var description: String { value.rawValue }

        /// Text that is not a valid label.
        public static let invalidLabel = Code(value: .invalidLabel)
        /// Text that is not a valid name of a network interface.
        public static let invalidInterfaceName = Code(value: .invalidInterfaceName)
        /// A binding that cannot match anything.
        public static let invalidBinding = Code(value: .invalidBinding)
        /// A policy without bindings where some are required.
        public static let emptyPolicy = Code(value: .emptyPolicy)
        /// Two bindings that overlap, have equal precedence and differ in outcome.
        public static let conflictingBindings = Code(value: .conflictingBindings)
        /// A binding that is not in the policy.
        public static let unknownBinding = Code(value: .unknownBinding)
        /// More labels than the program supports.
        public static let tooManyLabels = Code(value: .tooManyLabels)
        /// More bindings than can be counted individually.
        public static let tooManyBindings = Code(value: .tooManyBindings)
        /// Bindings whose tables exceed the maximum size.
        public static let tablesTooLarge = Code(value: .tablesTooLarge)
        /// An interface that the network namespace does not have.
        public static let unknownInterface = Code(value: .unknownInterface)
        /// A label to which no binding leads.
        public static let unknownLabel = Code(value: .unknownLabel)
        /// The process lacks a capability.
        public static let missingCapability = Code(value: .missingCapability)
        /// A kernel without sk_lookup, without an option that is needed, or too old for the operation.
        public static let unsupportedKernel = Code(value: .unsupportedKernel)
        /// A program that the verifier rejected; ``SteeringError/cause`` has its log.
        public static let programRejected = Code(value: .programRejected)
        /// A network namespace with the maximum number of sk_lookup programs, 64.
        public static let tooManyPrograms = Code(value: .tooManyPrograms)
        /// A network namespace that cannot be opened or entered.
        public static let networkNamespaceUnavailable = Code(value: .networkNamespaceUnavailable)
        /// A network namespace that has ended, and its steering with it.
        public static let networkNamespaceGone = Code(value: .networkNamespaceGone)
        /// A steering that was detached.
        public static let detached = Code(value: .detached)
        /// A number that is no open descriptor.
        public static let invalidDescriptor = Code(value: .invalidDescriptor)
        /// A descriptor that is no socket.
        public static let notASocket = Code(value: .notASocket)
        /// A Unix domain socket.
        public static let unixSocket = Code(value: .unixSocket)
        /// A Multipath TCP socket.
        public static let multipathTCP = Code(value: .multipathTCP)
        /// A UDP-Lite socket.
        public static let udpLite = Code(value: .udpLite)
        /// A socket of another family or protocol, such as raw, SCTP or netlink.
        public static let unsupportedProtocol = Code(value: .unsupportedProtocol)
        /// A connected socket.
        public static let socketConnected = Code(value: .socketConnected)
        /// A TCP socket that does not listen.
        public static let socketNotListening = Code(value: .socketNotListening)
        /// A UDP socket that is not bound.
        public static let socketNotBound = Code(value: .socketNotBound)
        /// A socket bound to a device (SO_BINDTODEVICE).
        public static let socketBoundToDevice = Code(value: .socketBoundToDevice)
        /// A socket of another network namespace.
        public static let foreignNetworkNamespace = Code(value: .foreignNetworkNamespace)
        /// A destination that already has a socket.
        public static let destinationOccupied = Code(value: .destinationOccupied)
        /// A label without a registered socket, or a socket that is not registered for it.
        public static let socketNotRegistered = Code(value: .socketNotRegistered)
        /// An invalid policy file; the message has the position.
        public static let invalidPolicyFile = Code(value: .invalidPolicyFile)
        /// A network namespace without a loaded steering.
        public static let notLoaded = Code(value: .notLoaded)
        /// A network namespace that already has a loaded steering.
        public static let alreadyLoaded = Code(value: .alreadyLoaded)
        /// A BPF file system that is not mounted, read-only, full, or not accessible.
        public static let storageUnavailable = Code(value: .storageUnavailable)
        /// Pinned state that is incomplete or invalid.
        public static let damagedState = Code(value: .damagedState)
        /// Pinned state of an older version, which has to be upgraded.
        public static let olderLayout = Code(value: .olderLayout)
        /// Pinned state of a newer version.
        public static let newerLayout = Code(value: .newerLayout)
        /// Another process is changing the steering and did not finish in time, or steerd serves its maximum number of
        /// clients.
        public static let busy = Code(value: .busy)
        /// A process that has ended, or whose descriptors may not be duplicated.
        public static let processUnavailable = Code(value: .processUnavailable)
        /// No matching socket in a process or in the environment.
        public static let socketNotFound = Code(value: .socketNotFound)
        /// Several matching sockets.
        public static let ambiguousSocket = Code(value: .ambiguousSocket)
        /// Contradictory environment variables of socket activation.
        public static let invalidEnvironment = Code(value: .invalidEnvironment)
        /// An address of another family or form than expected.
        public static let invalidAddress = Code(value: .invalidAddress)
        /// An address that cannot be bound or routed here.
        public static let addressUnavailable = Code(value: .addressUnavailable)
        /// No steerd responds.
        public static let serviceUnavailable = Code(value: .serviceUnavailable)
        /// A message that violates the protocol of steerd.
        public static let invalidMessage = Code(value: .invalidMessage)
        /// A message of another version of steerd's protocol.
        public static let unsupportedVersion = Code(value: .unsupportedVersion)
        /// A label that steerd does not allow this user to use.
        public static let notAllowed = Code(value: .notAllowed)
        /// More sockets than steerd may hold.
        public static let tooManySockets = Code(value: .tooManySockets)
        /// A program that cannot be executed.
        public static let programUnavailable = Code(value: .programUnavailable)
        /// A failed system call without a code of its own; ``SteeringError/cause`` has its name and errno.
        public static let systemCall = Code(value: .systemCall)
    }

    /// The error that the kernel returned.
    public enum Cause: Sendable, Hashable {
        /// The name of a system call and its errno.
        case systemCall(String, errno: Int32)
        /// The log of the verifier.
        case verifier(log: String)
    }

    /// The kind of error.
    public let code: Code
    /// One sentence with the failure, its cause and the remedy.
    public let message: String
    /// The error that the kernel returned; nil if it returned none.
    public let cause: Cause?

    package init(_ code: Code, _ message: String, cause: Cause? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// The message.
    public var description: String { message }

    /// The verifier's log; nil unless it rejected the program.
    public var verifierLog: String? {
        if case .verifier(let log)? = cause { log } else { nil }
    }

    /// The message, followed by the last 20 lines of the verifier's log, which have the reason.
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
                + "1 to \(InterfaceName.maximumLength) visible ASCII characters except / and :")
    }

    static func bindingOfTwoFamilies(_ prefix: IPPrefix, _ source: IPPrefix) -> SteeringError {
        SteeringError(
            .invalidBinding,
            "the binding of \(prefix) has the source \(source), of another family, and would match nothing: "
                + "give a source of \(prefix.family), or none")
    }

    static func bindingOfMapped(_ prefix: IPPrefix) -> SteeringError {
        SteeringError(
            .invalidBinding,
            "\(prefix) is IPv6, as dual-stack sockets write IPv4, and matches no packets: write \(prefix.unmapped)")
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
        "the policy has no binding, and applying it would stop all steering: remove the bindings, or unload, if that is intended"
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
            "the network namespace has no interface \(interface): create it first, or use one that `ip link` lists")
    }

    /// Bindings with an interface, on a kernel that does not give programs the ingress interface.
    static func interfacesUnsupported(_ interface: InterfaceName) -> SteeringError {
        SteeringError(
            .unsupportedKernel,
            "this kernel gives sk_lookup programs no ingress interface, so nothing can be bound on "
                + "\(interface): use Linux 5.17 or newer, or bindings without an interface")
    }
}
