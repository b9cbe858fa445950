-- Customers as they arrive, one row a customer. Put a file of this name into your overlay where your columns differ.
select * from raw.customers
