-- Why an image comes to an Agent the way it comes, as a sentence; empty when it does not.
ALTER TABLE agent_images ADD COLUMN reason text NOT NULL DEFAULT '';
