"""How Nightshelf is started: on one machine, in containers, behind NGINX."""
