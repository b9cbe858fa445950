-- Interactions as they arrive, one row a touch. Put a file of this name into your overlay where your columns differ.
select * from raw.interactions
