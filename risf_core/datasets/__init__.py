"""What datasets say: their images, classes and boxes, whatever form their files have."""
