/// Findings about the loaded steering: its pins, other programs, interfaces.
extension Doctor {
    func unopened(_ error: SteeringError) -> [Finding] {
        switch error.code {
        case .notLoaded:
            [
                Finding(
                    .warning, "loaded", "no steering is loaded in this network namespace",
                    remedy: place.steer(.load, ["load"]))
            ]
        case .olderLayout:
            [Finding(.warning, "loaded", error.message, remedy: place.steer(.upgrade, ["upgrade"]))]
        case .damagedState: [damaged(error)]
        // The state of the file system is already a finding.
        case .storageUnavailable where error.cause == nil: []
        default: [Finding(.broken, "loaded", error.message)]
        }
    }

    private func damaged(_ error: SteeringError) -> Finding {
        let pins = Pins(bpffs: bpffs, inode: namespace.inode)
        let what = "the pinned state is damaged (\(error.damage))"
        do throws(SteeringError) {
            _ = try FormerState(pins.directory)
            return Finding(
                .broken, "loaded", "\(what): packets are steered as before, and upgrading fixes it",
                remedy: place.steer(.upgrade, ["upgrade"]))
        } catch {
            guard error.code == .damagedState else {
                let command = place.command(["doctor"])
                return Finding(.broken, "loaded", "\(what): run `\(command)` as root to see the remedy")
            }
        }
        // Nothing shows any more whether an attached program is ours.
        guard let programs = try? namespace.attachedPrograms(), programs.isEmpty else {
            return Finding(
                .broken, "loaded",
                "\(what), too badly to upgrade, though a program is attached and may go on steering: when traffic may stop for that long, unload, load, apply the policy and register the sockets"
            )
        }
        return Finding(
            .broken, "loaded", "\(what), and nothing is attached: load again, apply the policy, register the sockets",
            remedy: place.sequence([
                place.steer(.loadAnew, ["unload"]), place.steer(.loadAnew, ["load"]),
            ]))
    }

    /// Returns findings about other programs, without remedies: they belong to others.
    func programs(_ steering: SocketSteering?, isUnreadable: Bool) -> [Finding] {
        guard let programs = try? namespace.attachedPrograms(), !programs.isEmpty else { return [] }
        if steering == nil, !isUnreadable { return programs.map(Self.foreign) }
        guard let own = steering?.programID ?? pinnedProgram,
            let place = programs.firstIndex(where: { $0.programID == own })
        else {
            return [unidentified(programs)]
        }
        return programs.enumerated().filter { $0.offset != place }.map { index, program in
            if index < place {
                return Finding(
                    .note, "programs",
                    "\(program) was attached before the steering, which decides where both select a socket")
            }
            return Finding(
                .warning, "programs",
                "\(program) was attached after the steering: where both select a socket it decides, unless it selects without BPF_SK_LOOKUP_F_REPLACE, as tubular's does"
            )
        }
    }

    /// The ID of the program that the pinned link runs; nil if the link may not be opened.
    private var pinnedProgram: UInt32? {
        let pins = Pins(bpffs: bpffs, inode: namespace.inode)
        return (try? Pins.open("\(pins.directory)/link", toWrite: true)).flatMap { try? LinkInfo($0).programID }
    }

    private static func foreign(_ program: AttachedProgram) -> Finding {
        Finding(.note, "programs", "\(program) is attached to this network namespace")
    }

    private func unidentified(_ programs: [AttachedProgram]) -> Finding {
        let directory = Pins(bpffs: bpffs, inode: namespace.inode).directory
        return Finding(
            .note, "programs",
            "some of \(programs.map { "\($0)" }.joined(separator: ", ")) may be the steering's own: only root can open \(directory)/link to find out"
        )
    }

    /// Returns findings about interface names that no longer belong to the interface whose index the tables have.
    func interfaces(of steering: SocketSteering, _ policy: Policy) throws(SteeringError) -> [Finding] {
        let names = policy.interfaces
        if names.isEmpty { return [] }
        let bound = try steering.reading { $0.interfaceIndices }
        guard let links = try? namespace.run({ () throws(SteeringError) in try NetworkLinks() }) else { return [] }
        return names.compactMap { name in
            let now = links.named(name)
            guard let index = bound[name] else { return newcomer(name, now) }
            if index == now?.index { return nil }
            let former = links.all[index]
            switch (former, now) {
            case (let former?, nil):
                return Finding(
                    .warning, "interfaces",
                    "\(name) is now named \(former.name): its bindings match what arrives there until the policy is applied again; use \(former.name) in it"
                )
            case (let former?, _?):
                return Finding(
                    .warning, "interfaces",
                    "\(name) is now named \(former.name), and another interface is \(name): the bindings match what arrives on \(former.name), until the names are looked up again",
                    remedy: place.steer(.upgrade, ["upgrade"]))
            case (nil, _?):
                return Finding(
                    .warning, "interfaces",
                    "the interface \(name) was replaced after its bindings were applied: they match nothing until the name is looked up again",
                    remedy: place.steer(.upgrade, ["upgrade"]))
            case (nil, nil): return newcomer(name, nil)
            }
        }
    }

    private func newcomer(_ name: InterfaceName, _ now: NetworkLink?) -> Finding {
        guard now == nil else {
            return Finding(
                .warning, "interfaces",
                "the interface \(name) did not exist when its bindings were applied: they match nothing until the name is looked up again",
                remedy: place.steer(.upgrade, ["upgrade"]))
        }
        return Finding(
            .warning, "interfaces",
            "there is no interface \(name): its bindings match nothing until it exists and the policy is applied again"
        )
    }
}

extension AttachedProgram: CustomStringConvertible {
    /// A description such as `sk_lookup program 12 (steer, link 7)`.
    public var description: String {
        let details = [name, linkID.map { "link \($0)" }].compactMap { $0 }.joined(separator: ", ")
        return "sk_lookup program \(programID)" + (details.isEmpty ? "" : " (\(details))")
    }
}

extension SteeringError {
    /// The part of the message that names the damage.
    fileprivate var damage: Substring {
        let start = message.firstIndex(of: "(").map { message.index(after: $0) } ?? message.startIndex
        return message[start...].prefix { $0 != ")" }
    }
}
