"""Networks of containers: bridges, addresses, endpoints, published ports, the firewall.

`wherry.network.model` has the values that the modules here pass each other.  Addresses are text everywhere
("172.18.0.2", with "/16" where a prefix belongs to it): ``ipaddress`` is too slow to import on the way of every `run`.
"""
