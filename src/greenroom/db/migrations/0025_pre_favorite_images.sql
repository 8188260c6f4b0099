-- Workspaces that the launcher shows first, in the order of their selection. Deleted workspaces stay without effect.
ALTER TABLE user_attributes ADD COLUMN favorite_images uuid[] NOT NULL DEFAULT '{}';
