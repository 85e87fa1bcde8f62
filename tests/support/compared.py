"""What is run with docker and with wherry to see that it comes out the same, and where it does not on purpose.

Plain data: ``tests/e2e/test_against_docker.py`` runs it, ``tools/compatibility.py`` makes docs/compatibility.md of it.
In a command, ``R`` stands for ``run --rm --network none``, ``DIR`` for a directory on the host with ``f`` (of user
1000) and ``sub/g`` in it, ``NAME`` for a name of the case's own, and the text after ``<<<`` is standard input.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LIMIT = "/sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes"
QUOTA = "/sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us"
PIDS = "/sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max"


@dataclass(frozen=True)
class Case:
    """``steps`` run one after the other on each engine; exit statuses, output and (``words``) complaints are compared.

    ``why`` is the reason of a difference that is meant: then the outcomes must differ.
    """

    topic: str
    steps: tuple[str, ...]
    words: bool = True
    why: str = ""

    @property
    def name(self) -> str:
        return "; ".join(self.steps)


def _cases(topic: str, text: str, *, words: bool = True) -> list[Case]:
    lines = [re.sub(" {2,}", " ", line.strip()) for line in text.splitlines()]
    return [Case(topic, tuple(line.split(" && ")), words) for line in lines if line]


SAME = [
    *_cases("command, entry point and exit status", """
        R busybox sh -c 'exit 42'
        R busybox nosuch
        R busybox /nosuch
        R busybox /etc/passwd
        R --entrypoint echo everything hello
        R everything echo a b
        R --entrypoint '' everything
        R busybox sh -c 'kill -9 $$'
        R --init busybox sh -c 'exit 3'
        R -m 32m busybox tail /dev/zero
        R --pull never nosuch:never true
        R sha256:0000000000000000000000000000000000000000000000000000000000000000 true
        R --nosuch busybox
        R -m
        R --rm=maybe busybox
        run
    """),
    *_cases("standard streams and terminals", """
        R -i busybox cat <<< hello
        R -i -a stdout busybox cat <<< hello
        R -a stderr busybox sh -c 'echo out; echo err >&2'
        R -t busybox sh -c 'tty; stty size; echo $TERM; echo err >&2'
        R -it busybox true <<< hello
        R -a nowhere busybox true
    """),
    *_cases("variables", """
        R -e A=1 -e FROM_HOST -e NOT_THERE -e E= busybox sh -c 'env | grep -v HOSTNAME | sort'
        R --env-file DIR/env -e A=5 busybox sh -c 'env | grep -v HOSTNAME | sort'
        R --env-file DIR/nosuch busybox true
        R --env-file DIR busybox true
        R -e =x busybox true
    """),
    *_cases("users and groups", """
        R -u alice busybox sh -c 'id; echo $HOME'
        R -u 1000:2000 --group-add bob --group-add 1234 busybox id
        R -u 4321 busybox sh -c 'id; echo $HOME'
        R -u 200001:200002 --group-add 99999 busybox sh -c 'id; stat -c "%u %a" / /tmp'
        R -u nosuch busybox id
        R -u alice:nosuch busybox id
        R -u 2147483648 busybox id
        R everything id
    """),
    *_cases("working directory and root file system", """
        R -w /a/b busybox sh -c 'pwd; stat -c "%a %u" .'
        R -u alice -w /a/b busybox sh -c 'pwd; stat -c "%a %u" . ..'
        R everything stat -c '%n %a %u %g' . .. /data /data/seed
        R -w relative busybox pwd
        R --read-only busybox sh -c 'touch /x /tmp/x /dev/shm/x'
        R busybox sh -c 'stat -c "%n %a %u %g" /etc/hosts /etc/hostname /etc/resolv.conf /dev/null /tmp / /.dockerenv'
    """),
    *_cases("names of the container", """
        R -h box busybox sh -c 'hostname; echo $HOSTNAME; cat /etc/hostname'
        R -h box --domainname example.org busybox sh -c 'hostname; cat /proc/sys/kernel/domainname'
        R --add-host a:1.2.3.4 --add-host b=[::2] busybox tail -2 /etc/hosts
        R --add-host a:b busybox true
        R --dns nowhere busybox true
        R --uts host -h box busybox true
    """),
    *_cases("volumes and binds", """
        R -v DIR:/m busybox sh -c 'stat -c "%n %a %u" /m/f /m/sub; cat /m/f; echo new > /m/new' \
            && R -v DIR:/m busybox cat /m/new
        R -v DIR/account:/m busybox sh -c 'cat /m/private; stat -c "%u %a" /m'
        R -v DIR:/m:ro busybox touch /m/new
        R -v DIR/made/here:/m busybox stat -c '%a %u' /m
        R -v DIR/f:/etc/passwd busybox cat /etc/passwd
        R -v NAME:/m busybox touch /m/x && R -v NAME:/n:ro busybox sh -c 'ls /n; touch /n/y'
        R -v NAME:/home busybox stat -c '%n %a %u %g' /home /home/alice && R -v NAME:/home/alice busybox ls /home/alice
        R -v NAME:/home:nocopy busybox ls -A /home
        R -v NAME:/data everything stat -c '%n %a %u %g' /data /data/seed
        R -v NAME:/data:ro everything ls /data
        R -v NAME:/etc/sub --tmpfs /etc busybox ls /etc
        R --mount type=bind,src=DIR,dst=/m,readonly busybox touch /m/x
        R --mount type=bind,src=DIR/nosuch,dst=/m busybox true
        R --mount type=bind,src=relative,dst=/m busybox true
        R --mount type=volume,dst=/data,volume-nocopy everything ls -A /data
        R --mount type=other,dst=/m busybox true
        R --mount type=bind,src=/tmp busybox true
        R --mount type=bind,src=DIR,dst=/m,tmpfs-size=1 busybox true
        R -v DIR:/m -v NAME:/m busybox true
        R -v DIR:relative busybox true
        R -v DIR:/m:nosuch busybox true
        R -v :/m busybox true
    """, words=False),
    *_cases("tmpfs", """
        R --tmpfs /t:size=8m,mode=700 busybox sh -c 'df -k /t | tail -1; stat -c "%a %u" /t'
        R --tmpfs /home busybox sh -c 'ls -A /home; stat -c "%a" /home'
        R --tmpfs /t busybox sh -c 'cp /bin/busybox /t/true; /t/true'
        R --tmpfs /t:nosuch busybox true
        R --tmpfs relative busybox true
        R --mount type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=0711 busybox sh -c 'df -k /t | tail -1; stat -c "%a" /t'
    """),
    *_cases("limits", f"""
        R -m 64m busybox sh -c 'cat {LIMIT} 2>/dev/null'
        R -m 1 busybox true
        R -m nonsense busybox true
        R -m 64m --memory-swap 10m busybox true
        R --memory-swap 64m busybox true
        R -m 64m --memory-reservation 128m busybox true
        R --cpus .5 busybox sh -c 'cat {QUOTA} 2>/dev/null'
        R --cpus 1/2 busybox sh -c 'cat {QUOTA} 2>/dev/null'
        R --cpus 1000 busybox true
        R --cpus -1 busybox true
        R --cpus .5 --cpu-quota 10000 busybox true
        R --cpuset-cpus 0 busybox grep Cpus_allowed_list /proc/self/status
        R --cpuset-cpus 0-999 busybox true
        R --pids-limit 20 busybox sh -c 'cat {PIDS} 2>/dev/null'
        R --ulimit nofile=100:200 --ulimit core=0 busybox sh -c 'ulimit -n; ulimit -Hn; ulimit -c'
        R --ulimit nofile=10 --ulimit nofile=20 busybox sh -c 'ulimit -n'
        R --ulimit nofile=200:100 busybox true
        R --ulimit nosuch=1 busybox true
        R --shm-size 8m busybox sh -c 'df -k /dev/shm | tail -1'
        R --oom-score-adj 5000 busybox true
        R --oom-score-adj 100 busybox cat /proc/self/oom_score_adj
    """),
    *_cases("capabilities and security", """
        R busybox grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status
        R -u alice busybox grep Cap /proc/self/status
        R --cap-drop ALL --cap-add CAP_CHOWN busybox grep Cap /proc/self/status
        R --cap-add nosuch busybox true
        R --cap-drop nosuch busybox true
        R --security-opt no-new-privileges --security-opt seccomp=unconfined busybox \
            grep -E 'NoNew|Seccomp:' /proc/self/status
        R --security-opt seccomp=DIR/nosuch busybox true
        R --security-opt nosuch=x busybox true
        R busybox sh -c 'mount -t tmpfs x /mnt; hostname x; cat /proc/keys; touch /proc/sys/kernel/panic'
        R busybox unshare -r true
    """),
    *_cases("devices, sysctls and namespaces", """
        R --device /dev/zero:/dev/nil:r busybox sh -c 'head -c 3 /dev/nil | od; echo x > /dev/nil'
        R --device /dev/null:/other/place busybox sh -c 'ls -l /other/place | cut -c1-10'
        R --device /etc/passwd busybox true
        R --device /dev/null:/dev/x:q busybox true
        R --device-cgroup-rule nonsense busybox true
        R --gpus all busybox true
        R --sysctl net.ipv4.ip_forward=1 --sysctl kernel.shmmax=12345 busybox \
            cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax
        R --ipc none busybox ls /dev/shm
        R --ipc container:nosuch busybox true
        R --pid host busybox sh -c 'test $$ -gt 10'
        R --pid nonsense busybox true
        R --userns nonsense busybox true
        R --cgroupns nonsense busybox true
    """, words=False),
    *_cases("the rest of run", """
        R --cidfile DIR/cid busybox true && R --cidfile DIR/cid busybox true
        R --label 'a b=c' busybox true
        R --label =x busybox true
        R --name 'a b' busybox true
        R --stop-signal nonsense busybox true
        R --volumes-from nosuch busybox true
        R --pull nonsense busybox true
        R Upper:case true
    """),
    *_cases("containers in lists", """
        create --name NAME --network none -v /anonymous -v NAME:/n --label a=b -m 64m busybox \
            sh -c 'echo hi; exit 3' && \
            ps -a --filter name=NAME --format '{{.Names}} {{.Image}} {{.Command}} {{.State}} {{.Status}} \
            {{.Ports}} {{.Networks}} {{.Labels}} {{.LocalVolumes}} {{.Size}}' && \
            ps -q && inspect -f '{{.Name}} {{.Config.Image}} {{.Config.Cmd}} {{.State.Status}} \
            {{.State.ExitCode}} {{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} \
            {{len .Mounts}} {{.Path}} {{.Args}} {{.SizeRw}}' -s NAME && \
            create --name NAME busybox && run --rm --network none --volumes-from NAME busybox ls -d /anonymous /n && \
            ps -a --filter label=a=c -q && ps -a --filter nosuch=x && \
            rm NAME && rm NAME && inspect nosuch
        run --name NAME --network none busybox sh -c 'exit 3' && \
            ps -a --filter name=NAME --filter exited=3 --format '{{.Names}} {{.State}}' && \
            inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}} \
            {{.State.Running}} {{.State.Pid}}' NAME && rm -f NAME
        create -m 1 busybox && create -m nonsense busybox && create --pull never nosuch
    """, words=False),
    *_cases("commands in running containers, logs and attaching", """
        run -d -q --name NAME --network none busybox sleep 60 && exec NAME sh -c 'echo out; echo err >&2; exit 7' && \
            exec -i NAME cat <<< hello && exec -d NAME true && exec -d NAME nosuch && \
            exec -d NAME /etc/passwd && exec -d -w /nosuch NAME true && \
            exec -d -u nosuch NAME id && \
            exec -e A=1 -e B -u alice NAME sh -c 'echo $A $HOME; id -un; pwd' && exec NAME && exec -it NAME true && \
            exec -t NAME tty && rm -f NAME && exec NAME true
        create --name NAME --network none busybox && exec NAME true && exec -d NAME true && logs NAME && \
            attach NAME && rm NAME && logs NAME && attach NAME
        run --name NAME --network none busybox sh -c 'echo one; sleep 0.3; echo two >&2; sleep 0.3; printf three' && \
            logs NAME && logs -n 2 NAME && logs --tail 1 NAME && logs --tail 0 NAME && logs --tail all NAME && \
            logs --tail x NAME && logs -f NAME && logs --since 1h NAME && logs --since 0 NAME && \
            logs --since nonsense NAME && \
            logs --until 1h NAME && logs --until nonsense NAME && logs --since 2100-01-01 NAME && \
            logs --since 2001-02-03T04:05:06 --until 2100-01-01T00:00:00.5Z NAME && \
            logs --since 2001-02-03T04:05Z NAME && logs --until 2001-02-03T04:05:06.789+02:00 NAME && \
            logs --since 1000000000.123456789 NAME && \
            logs --until 1h30m NAME && logs --since -1h NAME && logs --details NAME && attach NAME && rm NAME
        run --name NAME --network none --log-driver none busybox echo x && logs NAME && rm NAME
        run --name NAME --network none --log-opt labels=l --log-opt env=E -l l=m -e E=v busybox echo x && \
            logs --details NAME && rm NAME
        run --name NAME --network none busybox sh -c 'echo begun; sleep 0.2' && start -a NAME && logs -f NAME && \
            restart NAME && wait NAME && logs -f NAME && rm NAME
        run -d --name NAME --network none busybox sh -c 'sleep 4; echo got; exit 3' && attach NAME <<< hello && \
            rm -f NAME
        run -d --name NAME --network none busybox sleep 60 && pause NAME && exec NAME true && attach NAME && \
            pause NAME && unpause NAME && unpause NAME && kill -s nonsense NAME && kill NAME && kill NAME && rm NAME
    """, words=False),
    *_cases("events and volumes", """
        ps --filter health=nonsense
        events --since 1m --until 1h
        events --since nonsense --until 0s
        events --until 0s --format '{{'
        volume create NAME && volume create NAME && volume ls --filter name=NAME && volume ls -q --filter name=NAME && \
            volume inspect -f '{{.Name}} {{.Driver}} {{.Scope}}' NAME && R -v NAME:/v busybox touch /v/x && \
            R -v NAME:/v busybox ls /v && volume rm NAME && volume rm NAME && volume rm -f NAME && volume inspect NAME
        volume create --label a=b -o type=tmpfs -o device=tmpfs -o o=size=1m NAME && \
            volume inspect -f '{{.Options}} {{.Labels}}' NAME && R -v NAME:/v busybox sh -c 'df -m /v | tail -1' && \
            volume rm NAME
        volume inspect -f '{{.Name}}' nosuch && inspect -f '{{.Id}}' nosuch && inspect --type container nosuch
        volume create -o nonsense=1 NAME && volume create -o type=tmpfs NAME && volume create -d nosuch NAME && \
            volume create x && volume create a/b && volume ls --filter nosuch=1 && volume ls --filter dangling=x
        create --name NAME --network none -v NAME:/v busybox && volume rm NAME && volume ls -q --filter name=NAME && \
            rm -v NAME && volume ls -q --filter name=NAME && volume rm NAME
    """, words=False),
    *_cases("files of a container", """
        run --name NAME --network none busybox mkdir -p /a/b && diff NAME && rm NAME
        run --name NAME --network none busybox rm -r /opt && diff NAME && rm NAME
        run --name NAME --network none -v DIR:/mnt/b --tmpfs /mnt/t busybox touch /mnt/b/new && diff NAME && rm NAME
        run --name NAME --network none busybox sh -c 'touch /srv; chown 1:1 /etc/group' && diff NAME && rm NAME
        create --name NAME --network none busybox && diff NAME && rm NAME
        diff nosuch
        diff
        create --name NAME --network none busybox cat /new /tmp/f && cp DIR/f NAME:/new && cp DIR/f NAME:/tmp \
            && start -a NAME && cp NAME:/new DIR/back && cp NAME:/tmp DIR/sub && cp DIR/back NAME:/nosuch/x && rm NAME
        create --name NAME --network none busybox && cp NAME:/nosuch DIR && cp NAME:/etc DIR/f \
            && cp NAME:/etc/passwd /dev/null && cp - NAME:/etc/passwd <<< x && rm NAME
        create --name NAME --network none --read-only -v DIR/sub:/ro:ro busybox && cp DIR/f NAME:/x \
            && cp DIR/f NAME:/ro/x && cp NAME:/ro/g DIR/g && rm NAME
        commit nosuch
        commit a b c
        export nosuch
        create --name NAME --network none busybox && commit -c 'RUN x' NAME && commit -c FOO NAME \
            && commit -c ENV NAME && commit -c 'EXPOSE x' NAME && commit -c 'ONBUILD ONBUILD RUN x' NAME \
            && export -o /dev/null NAME && rm NAME
        run --name NAME --network none busybox sh -c 'echo x > /new; rm /etc/group' \
            && commit -a me -m words -c 'ENV A=1 B="x y" C=$A' -c 'CMD ["cat", "/new"]' -c 'LABEL l=m' -c 'EXPOSE 80' \
            -c 'VOLUME /v' -c 'WORKDIR w' -c 'USER 1000' -c 'ONBUILD RUN x' NAME NAME:made && R NAME:made \
            && R NAME:made ls /etc/group && image inspect -f '{{.Author}} {{.Comment}} {{json .Config.Env}} \
            {{.Config.Cmd}} {{.Config.Labels}} {{.Config.ExposedPorts}} {{.Config.Volumes}} {{.Config.WorkingDir}} \
            {{.Config.User}} {{.Config.OnBuild}} {{len .RootFS.Layers}}' NAME:made && rm NAME
        cp a b
        cp nosuch:/a nosuch:/b
        cp nosuch:/a DIR
        cp '' nosuch:/a
        cp nosuch:/a ''
        cp - -
        cp a
    """),
    *_cases("files of a container", """
        import DIR/nosuch
        create --name NAME --network none busybox && export -o DIR/no/x NAME && rm NAME
        create --name NAME --network none busybox && cp DIR/nosuch NAME:/ && cp NAME:/etc/passwd DIR/x/y \
            && cp DIR/sub NAME:/etc/passwd && cp DIR/f NAME:/nosuch/ && rm NAME
    """, words=False),
    *_cases("images", """
        images --format '{{.Repository}}:{{.Tag}} {{.ID}} {{.CreatedSince}}' --filter reference=busybox
        images -q --no-trunc busybox
        images --filter label=role=everything -q
        images --filter before=nosuch
        tag busybox NAME:1 && rmi NAME:1 && rmi NAME:1
        tag busybox Upper:case
        tag busybox NAME@sha256:0000000000000000000000000000000000000000000000000000000000000000
        tag busybox NAME && create --name NAME --network none NAME && rmi NAME && rmi busybox && rm NAME && rmi NAME
        image inspect -f '{{.Id}} {{.RepoTags}} {{.Architecture}} {{.Os}} \
            {{.Config.Env}} {{.Config.Cmd}} {{.RootFS.Layers}}' busybox
        image inspect -f '{{.Config.User}} {{.Config.Volumes}} {{.Config.ExposedPorts}} \
            {{.Config.Labels}} {{.Config.Entrypoint}}' everything
        history --format '{{.CreatedBy}}|{{.Comment}}' everything
        history -q busybox
        history nosuch
        load -i DIR/nosuch
        save nosuch
        image nosuch
        images a b
        rmi
    """, words=False),
]  # fmt: skip

_ONE_LINE = "runc's and the shim's prefixes are left out"
_IDS = "containers of root's have a user namespace of their own"
DIFFERENT = [
    Case("Isolation", ("R busybox cat /proc/self/uid_map",), why=f"{_IDS} (0050)"),
    Case(
        "Isolation", ("R busybox sh -c 'mknod /tmp/null c 1 3'",),
        why=f"{_IDS}, in which no device nodes can be made; ask for devices with --device",
    ),
    Case(
        "Isolation", ("R busybox sh -c 'cat /proc/sys/net/ipv4/ping_group_range'",),
        why="the range ends with the groups of the user namespace (0056)",
    ),
    Case(
        "Limits", ("R -m 96m busybox sh -c 'df -k /dev/shm | tail -1'",),
        why="/dev/shm is as large as the memory limit (0051)",
    ),
    Case("Limits", ("R -c 1 busybox true",), why="shares out of the kernel's range are moved into it (0023)"),
    Case(
        "Exit statuses", ("R --device /dev/nosuch busybox true",),
        why="what the engine cannot do is 125; Docker's client makes it 127 when it finds “no such file” in the text",
    ),
    Case(
        "Exit statuses", ("R --sysctl net.nosuch=1 busybox true",),
        why="what the engine cannot do is 125; Docker's client makes it 127 when it finds “no such file” in the text",
    ),
    Case("Options", ("R --pid private busybox true",), why="“private” is a mode of pid, uts and user namespaces too"),
    Case("Options", ("R --stop-signal 99 busybox true",), why="a signal that does not exist is refused"),
    Case("Options", ("R --expose 80/nosuch busybox true",), why="a protocol that does not exist is refused"),
    Case("Options", ("R --cgroup-parent ../../x busybox true",), why="a parent cannot lead out of the engine's cgroup"),
    Case(
        "Copies",
        ("create --name NAME --network none busybox stat -c %u /f", "cp DIR/f NAME:/f", "start -a NAME", "rm NAME"),
        why="files belong to the container's root, as docker-cp(1) says, or with -a to the same ids (0091)",
    ),
    Case(
        "Commands in containers",
        ("run -d -q --name NAME --network none busybox sleep 60", "exec -u nosuch NAME id", "rm -f NAME"),
        why="what keeps a command from starting is an error of its own, not part of the command's output",
    ),
    Case("Names", ("R --add-host x:host-gateway busybox true",), why="there is no gateway; Docker 28 fails too"),
]  # fmt: skip

DIFFERENT_ON_THE_SERVER: dict[str, str] = {}
"""Cases of `SAME` that differ when docker's client does them on `wherry serve`, and why."""

NOTES = (
    ("The default bridge is `wherry0`, and gone when no container uses it.", "0101"),
    ("Messages begin with `wherry: ` and may have a second line that says what to do.", "0061"),
    ("Failures to start a command are one line.", _ONE_LINE),
    ("`/proc/self/cgroup` shows the container's own root on cgroup v1 too.", "cgroup namespaces are always private"),
    ("`/etc/hosts`, masked paths and resolv.conf are those of Docker 28.", "the newer Docker is followed"),
    ("`--security-opt apparmor=NAME` fails where the host has no AppArmor.", "Docker ignores it"),
    ("`load` takes names without a tag as `:latest`.", "Docker refuses such archives"),
)
