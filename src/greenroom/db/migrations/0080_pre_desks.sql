-- The desktop that comes with Greenroom has a desk for programs.
UPDATE images SET port_map = port_map || '{"desk": "desk"}' WHERE name = 'greenroom/desktop:xfce';
