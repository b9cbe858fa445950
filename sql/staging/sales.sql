-- Sales as they arrive, one row an order line. Put a file of this name into your overlay where your columns differ.
select * from raw.sales
