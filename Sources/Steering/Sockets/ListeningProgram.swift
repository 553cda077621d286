import Glibc

/// A program, that is a process and its descendants, and the sockets on which it listens.
struct ListeningProgram {
    /// A socket that can be steered to, and a process that holds it.
    struct Listener {
        let facts: SteerableSocket
        let inode: UInt32
        let process: pid_t
        let descriptor: CInt
        /// The distance in generations from the root to the nearest process that holds it.
        let depth: Int

        /// Its bound address, protocol and families, which all members of a SO_REUSEPORT group share.
        var place: Place { Place(facts.transport, facts.localAddress, facts.families) }

        /// Returns a duplicate, or nil if the process has closed the socket.
        func take() throws(SteeringError) -> SharedDescriptor? {
            let descriptors = try ProcessDescriptors(of: process)
            guard let taken = try descriptors.duplicate(descriptor, inode: inode) else { return nil }
            return SharedDescriptor(taken)
        }
    }

    struct Place: Hashable, CustomStringConvertible {
        let transport: TransportProtocol
        let address: SocketAddress
        let families: [IPFamily]

        init(_ transport: TransportProtocol, _ address: SocketAddress, _ families: [IPFamily]) {
            self.transport = transport
            self.address = address
            self.families = families
        }

        var description: String { "\(transport) \(address)" }
        /// The kinds of packets that it can receive.
        var kinds: Set<Kind> { Set(families.map { Kind(transport: transport, family: $0) }) }
    }

    /// The packets of a label that one socket can receive: those of a protocol and family.
    struct Kind: Hashable {
        let transport: TransportProtocol
        let family: IPFamily
    }

    let root: pid_t
    private var tree: ProcessTree
    /// The inspected sockets, by inode. Each is duplicated only once: while a duplicate is open, however briefly, a
    /// program that has closed its own descriptor cannot bind the address again.
    private var known: [UInt32: Known] = [:]
    private struct Known {
        let cookie: SocketCookie
        let facts: Result<SteerableSocket, SteeringError>
    }

    /// The addresses of its Multipath TCP listeners.
    private(set) var multipath: Set<SocketAddress> = []
    /// The sockets that cannot be steered to, each with the reason.
    private(set) var refused: [(transport: TransportProtocol, address: SocketAddress, error: SteeringError)] = []

    init(root: pid_t) {
        self.root = root
        tree = ProcessTree(root: root)
    }

    /// Adds a process to follow as another root.
    mutating func adopt(_ process: pid_t) { tree.adopt(process) }

    /// Returns the program's listening sockets, each once, those nearest to the root first.
    ///
    /// Reads the descriptors of each process once. Processes that may not be inspected are skipped, except the root.
    ///
    /// - Throws: `processUnavailable` if the root may not be inspected; `systemCall`.
    mutating func listeners(among listening: ListeningSockets) throws(SteeringError) -> [Listener] {
        var found: [Listener] = []
        var seen: Set<UInt32> = []
        multipath = []
        refused = []
        for (process, depth) in tree.update() {
            do throws(SteeringError) {
                let descriptors = try ProcessDescriptors(of: process)
                for (descriptor, inode) in descriptors.inodes {
                    if let address = listening.multipath[inode] { multipath.insert(address) }
                    guard let socket = listening[inode], seen.insert(inode).inserted else { continue }
                    if known[inode]?.cookie != socket.cookie {
                        guard let taken = try descriptors.duplicate(descriptor, inode: inode) else { continue }
                        known[inode] = Known(cookie: socket.cookie, facts: Self.look(at: taken))
                    }
                    switch known[inode]!.facts {
                    case .success(let facts):
                        found.append(
                            Listener(
                                facts: facts, inode: inode, process: process, descriptor: descriptor, depth: depth))
                    case .failure(let error): refused.append((socket.transport, socket.localAddress, error))
                    }
                }
            } catch {
                // An exiting process no longer shows its descriptors.
                let isGone = ProcFS.isExiting(root) || ProcFS.startTime(of: root) == nil
                guard process != root || isGone else { throw error }
            }
        }
        known = known.filter { seen.contains($0.key) }
        return found
    }

    private static func look(at socket: borrowing OwnedDescriptor) -> Result<SteerableSocket, SteeringError> {
        do throws(SteeringError) { return .success(try SteerableSocket(socket.rawValue)) } catch {
            return .failure(error)
        }
    }
}
