import CommandSupport
import Steering

/// The output of `steer register`: the registered sockets, each once, and notes about gaps.
struct RegisterReport: Encodable {
    struct Socket: Encodable {
        let label, `protocol`, bound, cookie: String
        /// The families; both for a dual-stack socket.
        let families: [String]

        /// Returns each socket once: `registered` has an element for each of its families.
        static func each(of registered: [RegisteredSocket]) -> [Socket] {
            struct Key: Hashable {
                let label: Label
                let cookie: SocketCookie
            }
            var order: [Key] = []
            let all = Dictionary(grouping: registered) { socket in
                let key = Key(label: socket.destination.label, cookie: socket.cookie)
                if !order.contains(key) { order.append(key) }
                return key
            }
            return order.map { key in
                let own = all[key]!
                return Socket(
                    label: key.label.name, protocol: own[0].destination.transport.description,
                    bound: own[0].boundAddress.description, cookie: key.cookie.description,
                    families: own.map(\.destination.family.description).sorted())
            }
        }
    }
    let registered: [Socket]
    /// Sentences; `nil` if there are none.
    let notes: [String]?

    /// Creates a report. It cannot fail, because the sockets are registered already.
    ///
    /// - Parameters:
    ///   - sockets: The registered sockets; nil if they could not be listed.
    ///   - given: The number of sockets that were to be registered.
    ///   - steering: The steering.
    ///   - place: The steering's namespace and BPF file system, for commands in notes.
    init(_ sockets: [RegisteredSocket]?, of given: Int, _ steering: SocketSteering, at place: RemedyPlace) {
        guard let sockets else {
            registered = []
            notes = ["the sockets are registered, but could not be listed: \(place.command(["sockets"])) lists them"]
            return
        }
        registered = Socket.each(of: sockets)
        var notes: [String] = []
        if registered.count < given {
            notes.append(
                "\(registered.count) of the group's \(given) sockets are registered, the most that a label keeps: the "
                    + "others share its packets, but do not stand in when those are closed")
        }
        let bindings = try? steering.policy.bindings
        for label in Set(sockets.map(\.destination.label)).sorted() {
            if let bindings, !bindings.contains(where: { $0.outcome == .label(label) }) {
                notes.append(place.noBinding(of: label))
            }
            let missing = (try? steering.sockets.destinationsWithoutSocket(of: label)) ?? []
            if !missing.isEmpty {
                notes.append(
                    "\(missing.map(\.description).joined(separator: " and ")) "
                        + "\(missing.count == 1 ? "has" : "have") bindings and no socket: register one for it, too")
            }
        }
        self.notes = notes.isEmpty ? nil : notes
    }

    func show(isJSON: Bool) {
        if isJSON { return print(JSON.text(self)) }
        var lines: [(text: String, count: Int)] = []
        for socket in registered {
            let line = "registered \(socket.protocol) \(socket.bound) as \(socket.label)"
            if lines.last?.text == line { lines[lines.count - 1].count += 1 } else { lines.append((line, 1)) }
        }
        for line in lines { print(line.count == 1 ? line.text : "\(line.text) (\(counted(line.count, "socket")))") }
        for note in notes ?? [] { print("note: \(note)") }
    }
}

extension RemedyPlace {
    /// A note that no binding leads to a label.
    func noBinding(of label: Label) -> String {
        "no binding leads to \(label): \(command(["bind", label.name], blanks: ["PROTOCOL", "PREFIX", "PORTS"]))"
    }
}
