import Glibc

/// What a program listens on: a process and those that descend from it.
struct ListeningProgram {
    /// A socket that can be steered to, and the process that holds it.
    struct Listener {
        let facts: SteerableSocket
        let inode: UInt32
        let process: pid_t
        let descriptor: CInt
        /// How far from the root the nearest process is that holds it.
        let depth: Int

        /// Where it is bound, which sockets of one SO_REUSEPORT group have in common.
        var place: Place { Place(facts.transport, facts.localAddress, facts.families) }

        /// A duplicate; nil where it was closed meanwhile.
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
        /// What it can receive.
        var kinds: Set<Kind> { Set(families.map { Kind(transport: transport, family: $0) }) }
    }

    /// Of a label's packets, those that one socket can get.
    struct Kind: Hashable {
        let transport: TransportProtocol
        let family: IPFamily
    }

    let root: pid_t
    private var tree: ProcessTree
    /// What is known of sockets that were looked at, by inode. A duplicate, however short its life, keeps a program from
    /// binding anew where it has closed one: each is taken once.
    private var known: [UInt32: Known] = [:]
    private struct Known {
        let cookie: SocketCookie
        let facts: Result<SteerableSocket, SteeringError>
    }

    /// Where it listens by Multipath TCP.
    private(set) var multipath: Set<SocketAddress> = []
    /// Why the others cannot be steered to, with where they are bound.
    private(set) var refused: [(transport: TransportProtocol, address: SocketAddress, error: SteeringError)] = []

    init(root: pid_t) {
        self.root = root
        tree = ProcessTree(root: root)
    }

    /// Follows a process, too.
    mutating func adopt(_ process: pid_t) { tree.adopt(process) }

    /// Its sockets, each once, those first that the processes nearest to the root hold. One pass over the descriptors of
    /// its processes.
    ///
    /// - Throws: `processUnavailable` where the root's may not be looked at; of others they are left out.
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
                // One that ends shows its descriptors to nobody.
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
